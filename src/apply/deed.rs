//! What a step does to what, for whoever looks on while it is done.

use std::fmt;

/// One step, in words that a program can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deed<'a> {
    /// What is done.
    pub verb: Verb,
    /// To what kind of thing.
    pub thing: Thing,
    /// To which one.
    pub name: &'a str,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Makes it.
    Create,
    /// Makes it in the place of another one.
    Replace,
    /// Starts it.
    Start,
    /// Stops it.
    Stop,
    /// Removes it.
    Remove,
    /// Waits until it is well.
    Verify,
    /// Waits until its work is done.
    Await,
}

/// What a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// An image.
    Image,
}

/// How far a step is.
#[derive(Clone, Copy, Debug)]
pub enum Turn<'a> {
    /// It begins.
    Begins,
    /// It is done.
    Ends,
    /// It could not be done.
    Fails(&'a anyhow::Error),
}

/// Is told of each step when it begins and when it ends.
pub type Onlooker = dyn Fn(&Deed<'_>, Turn<'_>) + Send + Sync;

impl<'a> Deed<'a> {
    /// A step about a container.
    pub fn container(verb: Verb, name: &'a str) -> Self {
        Self { verb, thing: Thing::Container, name }
    }
}

impl fmt::Display for Deed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            Verb::Create | Verb::Replace => "create",
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Remove => "remove",
            Verb::Verify => "verify",
            Verb::Await => "await",
        };
        let thing = match self.thing {
            Thing::Container => "container",
            Thing::Network => "network",
            Thing::Volume => "volume",
            Thing::Image => "image",
        };
        write!(formatter, "{verb} {thing} {}", self.name)
    }
}
