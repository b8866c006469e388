//! Contexts of Docker's client: which Engine it talks to where no variable says.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::config::directory;

/// The context that stands for `DOCKER_HOST` and the usual socket.
const DEFAULT: &str = "default";

/// What `config.json` says of contexts.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Current {
    current_context: String,
}

/// What the file of a context says, as far as we use it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    endpoints: BTreeMap<String, Endpoint>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Endpoint {
    host: String,
}

/// Address of the Engine in the context of this name, else in the one that `docker context use` chose;
/// `None` for the default context.
///
/// # Errors
///
/// When there is no such context.
pub fn host_of_context(
    variables: &BTreeMap<String, String>,
    name: Option<&str>,
) -> Result<Option<String>> {
    let Some(directory) = directory(variables) else { return Ok(None) };
    let chosen = || {
        // What else is wrong with the file is told where it is used.
        let text = std::fs::read(directory.join("config.json")).ok()?;
        Some(serde_json::from_slice::<Current>(&text).ok()?.current_context)
    };
    let name = name.map(str::to_owned).or_else(chosen).unwrap_or_default();
    if name.is_empty() || name == DEFAULT {
        return Ok(None);
    }
    let digest = format!("{:x}", Sha256::digest(&name));
    let file = directory.join("contexts/meta").join(digest).join("meta.json");
    let context = || {
        format!(
            "read context `{name}` of Docker's client, `{}`: `docker context ls` lists those that \
             are there; or set DOCKER_HOST",
            file.display()
        )
    };
    let text = std::fs::read(&file).with_context(context)?;
    let mut meta: Meta = serde_json::from_slice(&text).with_context(context)?;
    let endpoint = meta.endpoints.remove("docker").unwrap_or_default();
    Ok(Some(endpoint.host).filter(|it| !it.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_lead_to_their_engine() {
        let directory = tempfile::tempdir().unwrap();
        let meta = directory.path().join("contexts/meta");
        for (name, text) in [
            (
                "far",
                r#"{"Name":"far","Endpoints":{"docker":{"Host":"tcp://h:1","SkipTLSVerify":false}}}"#,
            ),
            ("bare", r#"{"Name":"bare","Metadata":{},"Endpoints":{}}"#),
        ] {
            let digest = format!("{:x}", Sha256::digest(name));
            std::fs::create_dir_all(meta.join(&digest)).unwrap();
            std::fs::write(meta.join(&digest).join("meta.json"), text).unwrap();
        }
        let place = directory.path().display().to_string();
        let variables = BTreeMap::from([("DOCKER_CONFIG".to_owned(), place)]);
        for (config, name, expected) in [
            ("{}", None, Ok(None)),
            ("{}", Some("far"), Ok(Some("tcp://h:1"))),
            (r#"{"currentContext":"far"}"#, None, Ok(Some("tcp://h:1"))),
            (r#"{"currentContext":"far"}"#, Some("default"), Ok(None)),
            (r#"{"currentContext":"bare"}"#, None, Ok(None)),
            ("no JSON", None, Ok(None)),
            ("{}", Some("gone"), Err("`docker context ls`")),
        ] {
            std::fs::write(directory.path().join("config.json"), config).unwrap();
            let found = host_of_context(&variables, name).map_err(|error| format!("{error:#}"));
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), expected, "{config}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                _ => panic!("{config} {name:?}: {found:?}"),
            }
        }
        assert_eq!(host_of_context(&BTreeMap::new(), Some("far")).unwrap(), None);
    }
}
