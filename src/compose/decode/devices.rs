//! Devices: mapped ones, requested ones, and limits on their use.

use indexmap::IndexMap;

use super::mounts;
use super::{At, Decoder};
use crate::compose::model::{BlkioConfig, Device, DeviceRate, DeviceRequest, DeviceWeight};
use crate::compose::shortforms;
use crate::compose::yaml::Value;

const DEVICE_KEYS: &[&str] = &["source", "target", "permissions"];
const REQUEST_KEYS: &[&str] = &["capabilities", "driver", "count", "device_ids", "options"];
const BLKIO_KEYS: &[&str] = &[
    "weight",
    "weight_device",
    "device_read_bps",
    "device_read_iops",
    "device_write_bps",
    "device_write_iops",
];

/// Reads `devices`; of two with one target, the later wins in the earlier's place.
pub(super) fn devices(decoder: &mut Decoder, at: At<'_>) -> Vec<Device> {
    let mut devices = IndexMap::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let at = at.item(index, item);
        let read = match &item.value {
            Value::String(text) => mounts::short(decoder, at, shortforms::device(text)),
            Value::Mapping(_) => long_device(decoder, at),
            _ => {
                decoder.wrong(at, "a device such as `/dev/ttyUSB0`, or a mapping");
                None
            }
        };
        let Some(device) = read else { continue };
        devices.insert(device.target.clone(), device);
    }
    devices.into_values().collect()
}

fn long_device(decoder: &mut Decoder, at: At<'_>) -> Option<Device> {
    let mut device = Device::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "source" => device.source = decoder.string(field).unwrap_or_default(),
            "target" => device.target = decoder.string(field).unwrap_or_default(),
            "permissions" => device.permissions = decoder.string(field).unwrap_or_default(),
            _ => decoder.unknown(at, key, DEVICE_KEYS),
        }
    }
    for (name, value) in [("source", &device.source), ("target", &device.target)] {
        if value.is_empty() {
            decoder.refuse(at, format!("has no `{name}`"));
            return None;
        }
    }
    Some(device)
}

/// Reads `gpus`: `all`, or a list of requests.
pub(super) fn gpus(decoder: &mut Decoder, at: At<'_>) -> Vec<DeviceRequest> {
    if at.node.as_str().is_some() {
        decoder.word(at, &["all"]);
        return vec![DeviceRequest { count: Some(-1), ..DeviceRequest::default() }];
    }
    let mut requests = Vec::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        requests.push(request(decoder, at.item(index, item), false));
    }
    requests
}

/// Reads the `devices` of a reservation.
pub(super) fn reserved(decoder: &mut Decoder, at: At<'_>) -> Vec<DeviceRequest> {
    let mut requests = Vec::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let at = at.item(index, item);
        if item.as_mapping().is_some() && item.get("capabilities").is_none() {
            decoder.refuse(at, "has no `capabilities`: expected e.g. `[gpu]`");
        }
        requests.push(request(decoder, at, true));
    }
    requests
}

fn request(decoder: &mut Decoder, at: At<'_>, strict: bool) -> DeviceRequest {
    let mut request = DeviceRequest::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "capabilities" => request.capabilities = decoder.distinct_strings(field),
            "driver" => request.driver = decoder.text(field),
            "count" => request.count = count(decoder, field),
            "device_ids" => request.device_ids = decoder.distinct_strings(field),
            "options" => request.options = decoder.distinct_labels(field),
            _ if strict => decoder.unknown(at, key, REQUEST_KEYS),
            // Compose's schema leaves the entries of `gpus` open, and nothing reads what is more.
            _ => decoder.warn(field, "is unknown and ignored"),
        }
    }
    let has = |key: &str| at.node.get(key).is_some();
    match (has("count"), has("device_ids")) {
        (true, true) => decoder.refuse(at, "has both `count` and `device_ids`: write one of them"),
        (false, false) => request.count = Some(-1),
        _ => {}
    }
    request
}

fn count(decoder: &mut Decoder, at: At<'_>) -> Option<i64> {
    let is_all = at.node.as_str().is_some_and(|text| text.eq_ignore_ascii_case("all"));
    if is_all {
        return Some(-1);
    }
    let found = match &at.node.value {
        Value::Int(_) | Value::String(_) => super::whole_number(&at.node.value),
        _ => None,
    };
    if found.is_none() {
        decoder.wrong(at, "`all` or a whole number");
    }
    found.filter(|count| *count != 0)
}

pub(super) fn blkio(decoder: &mut Decoder, at: At<'_>) -> BlkioConfig {
    let mut blkio = BlkioConfig::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            // The schema takes any text.
            "weight" if decoder.kinds_only && node.as_str().is_some() => {}
            "weight" => blkio.weight = weight(decoder, field).filter(|weight| *weight != 0),
            "weight_device" => blkio.weight_device = weights(decoder, field),
            "device_read_bps" => blkio.device_read_bps = rates(decoder, field),
            "device_read_iops" => blkio.device_read_iops = rates(decoder, field),
            "device_write_bps" => blkio.device_write_bps = rates(decoder, field),
            "device_write_iops" => blkio.device_write_iops = rates(decoder, field),
            _ => decoder.stray(at, key, BLKIO_KEYS),
        }
    }
    blkio
}

fn weight(decoder: &mut Decoder, at: At<'_>) -> Option<u16> {
    let value = decoder.strict_integer(at)?;
    decoder.within(at, value, "a weight from 10 to 1000")
}

fn weights(decoder: &mut Decoder, at: At<'_>) -> Vec<DeviceWeight> {
    let mut weights = Vec::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let item_at = at.item(index, item);
        let mut entry = DeviceWeight::default();
        for (key, node) in decoder.mapping(item_at) {
            let field = item_at.key(key, node);
            match key.name.as_str() {
                "path" => entry.path = decoder.string(field).unwrap_or_default(),
                "weight" => entry.weight = weight(decoder, field).unwrap_or_default(),
                _ => decoder.stray(item_at, key, &["path", "weight"]),
            }
        }
        weights.push(entry);
    }
    weights
}

fn rates(decoder: &mut Decoder, at: At<'_>) -> Vec<DeviceRate> {
    let mut rates = Vec::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let item_at = at.item(index, item);
        let mut entry = DeviceRate::default();
        for (key, node) in decoder.mapping(item_at) {
            let field = item_at.key(key, node);
            match key.name.as_str() {
                "path" => entry.path = decoder.string(field).unwrap_or_default(),
                "rate" => entry.rate = decoder.whole_bytes(field).unwrap_or_default(),
                _ => decoder.stray(item_at, key, &["path", "rate"]),
            }
        }
        rates.push(entry);
    }
    rates
}
