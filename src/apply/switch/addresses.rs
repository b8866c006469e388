//! Addresses in networks that are about to be made anew: what is made before cannot have them yet.
//!
//! Engines from API 1.44 on refuse to create a container with an address that its network, as it
//! still is, does not have.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Switch;
use crate::compose::model::{Service, ServiceNetwork};
use crate::plan::Action;

impl Switch<'_, '_> {
    /// The service without addresses in networks that are made anew.
    pub(super) fn without_addresses<'s>(&self, service: &'s Service) -> Cow<'s, Service> {
        let mut service = Cow::Borrowed(service);
        for change in &self.plan.networks {
            let Some(Some(endpoint)) = service.networks.get(&change.key) else { continue };
            if has_address(endpoint) {
                let bare = ServiceNetwork {
                    ipv4_address: None,
                    ipv6_address: None,
                    link_local_ips: Vec::new(),
                    ..endpoint.clone()
                };
                service.to_mut().networks.insert(change.key.clone(), Some(bare));
            }
        }
        service
    }

    /// What new containers are to have in a network, by id, where it is more than any address.
    pub(super) fn addresses(&self, key: &str) -> BTreeMap<String, ServiceNetwork> {
        let asked = self.changes.iter().enumerate().filter_map(|(index, change)| {
            let is_new = matches!(change.action, Action::Create | Action::Replace { .. });
            let service = self.context.project.services.get(&change.service).filter(|_| is_new)?;
            let endpoint = service.networks.get(key)?.as_ref().filter(|it| has_address(it))?;
            Some((self.id(index)?, endpoint.clone()))
        });
        asked.collect()
    }
}

fn has_address(endpoint: &ServiceNetwork) -> bool {
    endpoint.ipv4_address.is_some()
        || endpoint.ipv6_address.is_some()
        || !endpoint.link_local_ips.is_empty()
}
