//! Networks, volumes, secrets and configs of the top level.

use super::object::Object;
use crate::compose::model::{FileObject, FileSource, Ipam, Network, Volume};

/// A network as `config` and its hash see it.
pub(in crate::compose) fn network_json(network: &Network) -> Object {
    let mut object = Object::new();
    object.text("name", Some(&network.name));
    object.text("driver", network.driver.as_ref());
    object.map("driver_opts", &network.driver_opts);
    object.put("ipam", ipam_json(&network.ipam));
    object.flag("external", network.external);
    object.flag("internal", network.internal);
    object.flag("attachable", network.attachable);
    object.map("labels", &network.labels);
    object.some("enable_ipv4", network.enable_ipv4);
    object.some("enable_ipv6", network.enable_ipv6);
    object
}

fn ipam_json(ipam: &Ipam) -> Object {
    let mut object = Object::new();
    object.text("driver", ipam.driver.as_ref());
    let pools = ipam.config.iter().map(|pool| {
        let mut entry = Object::new();
        entry.text("subnet", pool.subnet.as_ref());
        entry.text("gateway", pool.gateway.as_ref());
        entry.text("ip_range", pool.ip_range.as_ref());
        entry.map("aux_addresses", &pool.aux_addresses);
        entry
    });
    object.values("config", pools);
    // `options` is no field of compose-go: neither its text nor its hash knows them.
    object
}

/// A volume as `config` and its hash see it.
pub(in crate::compose) fn volume_json(volume: &Volume) -> Object {
    let mut object = Object::new();
    object.text("name", Some(&volume.name));
    object.text("driver", volume.driver.as_ref());
    object.map("driver_opts", &volume.driver_opts);
    object.flag("external", volume.external);
    object.map("labels", &volume.labels);
    object
}

/// A secret or config as `config` shows it: values of the environment stay there.
pub(super) fn file_object_json(file: &FileObject) -> Object {
    let mut object = Object::new();
    object.text("name", Some(&file.name));
    match &file.source {
        FileSource::Elsewhere => {}
        FileSource::File(path) => object.text("file", Some(path)),
        FileSource::Environment { variable, .. } => object.text("environment", Some(variable)),
        FileSource::Content(content) => object.text("content", Some(content)),
    }
    object.flag("external", file.external);
    object.map("labels", &file.labels);
    object.text("driver", file.driver.as_ref());
    object.map("driver_opts", &file.driver_opts);
    object.text("template_driver", file.template_driver.as_ref());
    object
}
