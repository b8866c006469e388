//! What a service is connected to: ports, mounts, networks, devices, files.

use super::Dialect;
use super::object::Object;
use crate::compose::model::{
    BlkioConfig, Device, DeviceRate, DeviceRequest, FileReference, Mount, MountKind, Port,
    ServiceNetwork,
};

/// Blocks of options, in the order in which compose-go declares them.
const BLOCKS: &[&str] = &["bind", "volume", "tmpfs", "image"];

pub(super) fn attachment_json(network: &ServiceNetwork) -> Object {
    let mut object = Object::new();
    object.list("aliases", &network.aliases);
    object.map("driver_opts", &network.driver_opts);
    object.number("gw_priority", network.gw_priority);
    object.text("interface_name", network.interface_name.as_ref());
    object.text("ipv4_address", network.ipv4_address.as_ref());
    object.text("ipv6_address", network.ipv6_address.as_ref());
    object.list("link_local_ips", &network.link_local_ips);
    object.text("mac_address", network.mac_address.as_ref());
    object.number("priority", network.priority);
    object
}

pub(super) fn port_json(port: &Port) -> Object {
    let mut object = Object::new();
    object.text("name", port.name.as_ref());
    object.text("mode", port.mode.as_ref());
    object.text("host_ip", port.host_ip.as_ref());
    object.some("target", (port.target != 0).then_some(port.target));
    object.text("published", port.published.as_ref());
    object.text("protocol", Some(&port.protocol));
    object.text("app_protocol", port.app_protocol.as_ref());
    object
}

pub(super) fn mount_json(mount: &Mount, dialect: Dialect) -> Object {
    let mut object = Object::new();
    object.put("type", mount.kind.name());
    object.text("source", mount.source.as_ref());
    object.text("target", Some(&mount.target));
    object.flag("read_only", mount.read_only);
    object.text("consistency", mount.consistency.as_ref());
    if mount.other_blocks.is_empty() {
        let options = options_json(&mount.kind, dialect);
        if mount.options_given || !options.is_empty() {
            object.put(mount.kind.name(), options);
        }
        return object;
    }
    for name in BLOCKS {
        let is_own = mount.options_given && mount.kind.name() == *name;
        let own = is_own.then_some(&mount.kind);
        let block = own.or_else(|| mount.other_blocks.iter().find(|other| other.name() == *name));
        object.some(name, block.map(|block| options_json(block, dialect)));
    }
    object
}

/// The options that a kind has.
fn options_json(kind: &MountKind, dialect: Dialect) -> Object {
    let mut options = Object::new();
    match kind {
        MountKind::Bind { selinux, propagation, create_host_path, recursive } => {
            options.text("selinux", selinux.as_ref());
            options.text("propagation", propagation.as_ref());
            match (dialect, create_host_path) {
                (Dialect::V2_40, Some(true)) => options.put("create_host_path", true),
                (Dialect::V5, Some(false)) => options.put("create_host_path", false),
                (Dialect::V2_40 | Dialect::V5, _) => {}
            }
            options.text("recursive", recursive.as_ref());
        }
        MountKind::Volume { nocopy, subpath, labels } => {
            options.map("labels", labels);
            options.flag("nocopy", *nocopy);
            options.text("subpath", subpath.as_ref());
        }
        MountKind::Tmpfs { size, mode } => {
            options.bytes("size", *size);
            options.some("mode", mode.filter(|mode| *mode != 0));
        }
        MountKind::Image { subpath } => options.text("subpath", subpath.as_ref()),
        MountKind::NamedPipe | MountKind::Cluster => {}
    }
    options
}

pub(super) fn reference_json(reference: &FileReference) -> Object {
    let mut object = Object::new();
    object.text("source", Some(&reference.source));
    object.text("target", reference.target.as_ref());
    object.text("uid", reference.uid.as_ref());
    object.text("gid", reference.gid.as_ref());
    object.some("mode", reference.mode.map(|mode| format!("0{mode:o}")));
    object
}

pub(super) fn device_json(device: &Device) -> Object {
    let mut object = Object::new();
    object.text("source", Some(&device.source));
    object.text("target", Some(&device.target));
    object.text("permissions", Some(&device.permissions));
    object
}

pub(super) fn request_json(request: &DeviceRequest) -> Object {
    let mut object = Object::new();
    object.list("capabilities", &request.capabilities);
    object.text("driver", request.driver.as_ref());
    object.number("count", request.count);
    object.list("device_ids", &request.device_ids);
    object.map("options", &request.options);
    object
}

pub(super) fn blkio_json(blkio: &BlkioConfig) -> Object {
    let rate = |entry: &DeviceRate| {
        let mut object = Object::new();
        object.put("Path", &entry.path);
        object.put("Rate", entry.rate.to_string());
        object
    };
    let weights = blkio.weight_device.iter().map(|entry| {
        let mut object = Object::new();
        // These two types of compose-go carry no names for JSON.
        object.put("Path", entry.path.clone());
        object.put("Weight", entry.weight);
        object
    });
    let mut object = Object::new();
    object.number("weight", blkio.weight.map(i64::from));
    object.values("weight_device", weights);
    object.values("device_read_bps", blkio.device_read_bps.iter().map(rate));
    object.values("device_read_iops", blkio.device_read_iops.iter().map(rate));
    object.values("device_write_bps", blkio.device_write_bps.iter().map(rate));
    object.values("device_write_iops", blkio.device_write_iops.iter().map(rate));
    object
}
