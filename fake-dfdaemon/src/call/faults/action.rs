//! How an action is written, and its [`effects`](Action::effects) at each place. The actions are in `table`.

use serde_json::{Value, json};
use tonic::Status;

use super::FaultError;
use super::effect::{Answer, CallEffect, ConnectionEffect, Effect, TransferEffect};
use super::table::{Action, ROWS, Row, Scope, Takes};
use crate::dfdaemon::statuses::{connection_reset, sockets_closed};
use crate::store::DiskFault;

impl Action {
    /// An action of each name, with an example of its argument: what a test of a client goes through.
    ///
    /// ```
    /// use fake_dfdaemon::{Action, Fault, Rpc};
    ///
    /// for action in Action::examples() {
    ///     let (name, about) = (action.name(), action.about());
    ///     let fault = Fault::on(Rpc::Stat).action(action).to_json();
    ///     match fault.parse::<Fault>() {
    ///         Ok(fault) => println!("{}: {about}", fault.to_json()),
    ///         Err(error) => println!("{name} acts on no stat: {error}"),
    ///     }
    /// }
    /// ```
    pub fn examples() -> impl Iterator<Item = Self> {
        Self::rows().filter_map(|row| match &row.takes {
            Takes::Argument(argument) => (argument.read)(&argument.example.into()).ok(),
            Takes::Nothing(action) => Some(action.clone()),
        })
    }

    /// What it does, in one sentence.
    #[must_use]
    pub fn about(&self) -> &'static str {
        let row = Self::rows().find(|row| row.name == self.name());
        row.map_or("", |row| row.does.trim())
    }

    /// The name of every action on calls.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let of_calls = Self::rows().filter(|row| row.scope != Scope::Connection);
        of_calls.map(|row| row.name)
    }

    /// The rows of the table, one for each name.
    pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
        let mut before = "";
        ROWS.iter()
            .filter(move |row| std::mem::replace(&mut before, row.name) != row.name)
    }

    /// The names of what can happen there alone, and then of what else can.
    pub(super) fn names_in(scope: Scope) -> String {
        let own = Self::rows().filter(|row| row.scope == scope);
        let also = Self::rows().filter(|row| row.also.contains(&scope));
        let names: Vec<_> = own.chain(also).map(|row| row.name).collect();
        match names.split_last() {
            Some((last, names)) => format!("{} and {last}", names.join(", ")),
            None => String::new(),
        }
    }

    /// Reads `NAME` or `NAME=ARGUMENT`.
    pub(super) fn from_text(text: &str) -> Result<Self, FaultError> {
        let (name, argument) = match text.split_once('=') {
            Some((name, argument)) => (name, Value::from(argument)),
            None => (text, Value::Bool(true)),
        };
        Self::from_parts(name, &argument)
    }

    /// Reads `{"NAME": ARGUMENT}`.
    pub(super) fn from_value(value: &Value) -> Result<Self, FaultError> {
        let single = value.as_object().filter(|object| object.len() == 1);
        let single = single.and_then(|object| object.iter().next());
        let (name, argument) = single
            .ok_or_else(|| FaultError::new("\"do\" holds one action, such as {\"stall\":true}"))?;
        Self::from_parts(name, argument)
    }

    pub(super) fn to_value(&self) -> Value {
        json!({ self.name(): self.argument() })
    }

    fn from_parts(name: &str, argument: &Value) -> Result<Self, FaultError> {
        let Some(row) = Self::rows().find(|row| row.name == name) else {
            let names: Vec<_> = Self::rows().map(|row| row.name).collect();
            let names = names.join(", ");
            return Err(FaultError::new(format!(
                "no such action: {name}; there are {names}"
            )));
        };
        match (&row.takes, argument) {
            (Takes::Argument(takes), _) => (takes.read)(argument),
            (Takes::Nothing(action), Value::Bool(true)) => Ok(action.clone()),
            (Takes::Nothing(_), _) => Err(FaultError::new(format!(
                "{name} takes no argument; write true in JSON"
            ))),
        }
    }
}

impl Action {
    /// What it does to a call as such.
    pub(crate) fn on_call(&self) -> Option<CallEffect<'_>> {
        self.effects().into_iter().find_map(|effect| match effect {
            Effect::Call(effect) => Some(effect),
            _ => None,
        })
    }

    /// What is wrong with the store's disk.
    pub(crate) fn on_store(&self) -> Option<DiskFault> {
        self.effects().into_iter().find_map(|effect| match effect {
            Effect::Store(fault) => Some(fault),
            _ => None,
        })
    }

    /// What it does to a piece between hosts.
    pub(crate) fn on_transfer(&self) -> Option<TransferEffect<'_>> {
        self.effects().into_iter().find_map(|effect| match effect {
            Effect::Transfer(effect) => Some(effect),
            _ => None,
        })
    }

    /// What it does to a connection.
    pub(crate) fn on_connection(&self) -> Option<ConnectionEffect> {
        self.effects().into_iter().find_map(|effect| match effect {
            Effect::Connection(effect) => Some(effect),
            _ => None,
        })
    }

    /// The status that the journal notes of what is no call: a piece on its way, a connection, a host's
    /// sockets.
    pub(crate) fn noted_status(&self) -> Option<Status> {
        if let Some(TransferEffect::Before(effect)) = self.on_transfer() {
            return match effect {
                CallEffect::Answer(Answer::Given(error)) => Some(error.status()),
                CallEffect::Reset => Some(connection_reset()),
                CallEffect::Answer(Answer::OfDfdaemon(_))
                | CallEffect::Wait(..)
                | CallEffect::Stall => None,
            };
        }
        match self.on_connection()? {
            ConnectionEffect::Refuse => Some(connection_reset()),
            ConnectionEffect::CloseSockets => Some(sockets_closed()),
            ConnectionEffect::Wait | ConnectionEffect::Stall => None,
        }
    }
}

#[cfg(feature = "control")]
impl Row {
    /// The row as programs read it: what the page's form knows of the action.
    pub(crate) fn to_value(&self) -> Value {
        let words = |scope: &Scope| scope.as_str();
        let mut value = json!({"scope": self.scope.as_str(), "does": self.does.trim()});
        value["also"] = self.also.iter().map(words).collect();
        if let Takes::Argument(argument) = &self.takes {
            value["example"] = argument.example.into();
            value["argument"] = argument.is.into();
        }
        value
    }

    /// The JSON Schema of its argument, with what it does.
    pub(crate) fn schema(&self) -> Value {
        let mut schema = match &self.takes {
            Takes::Argument(argument) => (argument.schema)(),
            Takes::Nothing(_) => json!({"const": true}),
        };
        schema["description"] = self.does.trim().into();
        schema
    }
}

#[cfg(feature = "control")]
impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Piece => "piece",
            Self::Stream => "stream",
            Self::Store => "store",
            Self::Connection => "connection",
            Self::Transfer => "transfer",
        }
    }
}

#[cfg(test)]
mod tests;
