//! Refresh rotation: one owner whose responses get lost, and a thief with a copy of a refresh token.
//!
//! Tokens are positions relative to the generation in the vault, so that the state space is finite (src/vault/sqlite/rotate.rs,
//! src/vault/postgres/rotate.rs).

use stateright::{Model, Property};

/// `Settings::refresh_grace` in ticks.
const REFRESH_GRACE: u8 = 2;
/// `Settings::refresh_grace_unused` in ticks (X02).
const REFRESH_GRACE_UNUSED: u8 = 4;
/// Maximum number of the owner's requests in flight.
const IN_FLIGHT: usize = 2;

/// Decision about the previous generation between the two bounds, while the current one is unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LateRepeat {
    /// The session ends: the rule before X02.
    Ends,
    /// It gets the successor that the first presentation got.
    SameSuccessor,
    /// It gets a new successor, and the first one is never accepted: `Decision::RotateLate`.
    NewSuccessor,
}

/// The model.
#[derive(Clone, Debug)]
pub(crate) struct Refreshes {
    pub(crate) late_repeat: LateRepeat,
    /// A late repeat is granted only while no access token of the current generation was used (`used_generation`).
    pub(crate) checks_use: bool,
    /// A repeat within `refresh_grace` is granted.
    pub(crate) grants_repeats: bool,
    /// A repeat is encoded under the key of the first time (`Rotation::Granted::refresh_kid`).
    pub(crate) keeps_kid: bool,
    /// A request reaches the vault at once or never.
    pub(crate) is_prompt: bool,
    pub(crate) thief: Thief,
}

/// Kind of thief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thief {
    None,
    /// It uses each access token at once.
    Eager,
    /// It refreshes, and uses an access token when it likes.
    Patient,
}

impl Refreshes {
    /// The rules of the code, with this one for late repeats.
    pub(crate) const fn with(late_repeat: LateRepeat, thief: Thief) -> Self {
        Self { late_repeat, checks_use: true, grants_repeats: true, keeps_kid: true, is_prompt: true, thief }
    }
}

/// Holder of refresh tokens.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Party {
    Owner,
    Thief,
}

/// A refresh token, relative to the session's row.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Token {
    Current,
    /// The one that was exchanged for the current one.
    Previous,
    Older,
}

/// A request of the owner.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) struct Request {
    token: Token,
    /// The vault has decided: `token` is the one in the response.
    is_answered: bool,
    /// Sent in an earlier tick: the owner gives it up when it sends the next one.
    is_old: bool,
}

/// State of everything.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) struct State {
    /// Ticks since `rotated_at`.
    age: u8,
    /// Key of the current generation, and of new ones.
    kids: (u8, u8),
    /// `used_generation` is the current one.
    is_used: bool,
    is_ended: bool,
    owner: Token,
    /// The owner got its token in this tick, and does not refresh again at once.
    is_new: bool,
    requests: Vec<Request>,
    thief: Option<Token>,
    /// Ghost: holder of the current generation at the time when the other party repeated the previous one after the grace.
    is_exposed: Option<Party>,
    rotated_by: Party,
    /// Ghost: repeats by the party that had not rotated.
    shared: u8,
    broken: Broken,
}

/// Ghost: promises that a decision has broken.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub(crate) struct Broken {
    two_successors: bool,
    owner_lost_session: bool,
    both_go_on: bool,
    late_after_use: bool,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    Present,
    Arrive(usize),
    Receive(usize),
    Lose(usize),
    Steal,
    PresentStolen,
    Use,
    NewKey,
}

impl Model for Refreshes {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            age: 0,
            kids: (0, 0),
            is_used: true,
            is_ended: false,
            owner: Token::Current,
            is_new: false,
            requests: Vec::new(),
            thief: None,
            is_exposed: None,
            rotated_by: Party::Owner,
            shared: 0,
            broken: Broken::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.is_ended {
            return;
        }
        if state.requests.len() < IN_FLIGHT && !state.is_new {
            actions.push(Action::Present);
        }
        for (index, request) in state.requests.iter().enumerate() {
            if request.is_answered {
                actions.extend([Action::Receive(index), Action::Lose(index)]);
            } else {
                actions.push(Action::Arrive(index));
            }
        }
        match state.thief {
            Some(_) => actions.push(Action::PresentStolen),
            None if self.thief != Thief::None => actions.push(Action::Steal),
            None => {}
        }
        let can_use = |held| held == Some(Token::Current);
        if !state.is_used && (can_use(Some(state.owner)) || can_use(state.thief)) {
            actions.push(Action::Use);
        }
        if state.kids == (0, 0) {
            actions.push(Action::NewKey);
        }
        if !self.is_prompt || state.requests.iter().all(|request| request.is_answered) {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        match action {
            Action::Tick => {
                next.age = (next.age + 1).min(REFRESH_GRACE_UNUSED);
                next.is_new = false;
                next.requests.iter_mut().for_each(|request| request.is_old = true);
            }
            Action::Present => {
                // The responses to requests that were given up reach nobody.
                next.requests.retain(|request| !request.is_old || !request.is_answered);
                next.requests.push(Request { token: next.owner, is_answered: false, is_old: false });
            }
            Action::Arrive(index) => {
                let Request { token, is_old, .. } = next.requests.remove(index);
                if let Some(token) = self.decide(&mut next, Party::Owner, token)
                    && (!is_old || next.requests.is_empty())
                {
                    next.requests.push(Request { token, is_answered: true, is_old });
                }
            }
            Action::Receive(index) => {
                next.owner = next.requests.remove(index).token;
                next.is_new = true;
                // The owner needed the token for a request.
                next.is_used |= next.owner == Token::Current;
            }
            Action::Lose(index) => drop(next.requests.remove(index)),
            Action::Steal => next.thief = Some(next.owner),
            Action::PresentStolen => {
                let token = next.thief?;
                next.thief = self.decide(&mut next, Party::Thief, token);
                next.is_used |= self.thief == Thief::Eager;
            }
            Action::Use => next.is_used = true,
            Action::NewKey => next.kids.1 = 1,
        }
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a token has one successor", |_, state: &State| !state.broken.two_successors),
            Property::always("an owner without a thief keeps the session", |_, state: &State| {
                !state.broken.owner_lost_session
            }),
            Property::always("owner and thief do not both go on apart", |_, state: &State| {
                !state.broken.both_go_on
            }),
            Property::always(
                "after the grace a copy is worth nothing once its successor was used",
                |_, state: &State| !state.broken.late_after_use,
            ),
            Property::sometimes("owner and thief both go on in step", |model: &Self, state: &State| {
                state.shared == 2 || model.thief == Thief::None
            }),
            Property::sometimes("owner and thief are apart", |model: &Self, state: &State| {
                state.is_exposed.is_some() || model.thief != Thief::Patient
            }),
            Property::sometimes("a session ends", |_, state: &State| state.is_ended),
        ]
    }
}

impl Refreshes {
    /// `Sessions::rotate`. Returns the granted token; `None` when the session has ended.
    fn decide(&self, state: &mut State, party: Party, token: Token) -> Option<Token> {
        state.broken.both_go_on |= state.is_exposed == Some(party) && token != Token::Older;
        let is_late = state.age >= REFRESH_GRACE;
        let is_granted = match token {
            Token::Current => {
                state.shift(|held| if held == Token::Current { Token::Previous } else { Token::Older });
                state.rotate(party);
                true
            }
            Token::Previous if !is_late => self.grants_repeats && self.repeat(state, party),
            Token::Previous if self.may_repeat_late(state) => {
                state.broken.late_after_use |= state.is_used;
                let other = if party == Party::Owner { Party::Thief } else { Party::Owner };
                if state.held(other) == Some(Token::Current) {
                    state.is_exposed = Some(other);
                }
                match self.late_repeat {
                    LateRepeat::Ends => false,
                    LateRepeat::SameSuccessor => {
                        state.age = 0;
                        self.repeat(state, party)
                    }
                    LateRepeat::NewSuccessor => {
                        state.shift(|held| if held == Token::Current { Token::Older } else { held });
                        state.rotate(party);
                        true
                    }
                }
            }
            Token::Previous | Token::Older => false,
        };
        if is_granted {
            return Some(Token::Current);
        }
        let is_too_late = token == Token::Previous && state.age == REFRESH_GRACE_UNUSED;
        state.broken.owner_lost_session |= state.thief.is_none() && !is_too_late;
        state.is_ended = true;
        state.requests.clear();
        None
    }

    fn may_repeat_late(&self, state: &State) -> bool {
        state.age < REFRESH_GRACE_UNUSED && !(self.checks_use && state.is_used)
    }

    /// The current generation is granted again.
    fn repeat(&self, state: &mut State, party: Party) -> bool {
        let kid = if self.keeps_kid { state.kids.0 } else { state.kids.1 };
        state.broken.two_successors |= kid != state.kids.0;
        if party != state.rotated_by {
            state.shared = (state.shared + 1).min(2);
        }
        true
    }
}

impl State {
    fn held(&self, party: Party) -> Option<Token> {
        if party == Party::Owner { Some(self.owner) } else { self.thief }
    }

    fn rotate(&mut self, party: Party) {
        (self.age, self.kids.0, self.is_used, self.rotated_by) = (0, self.kids.1, false, party);
    }

    /// Moves every token by the new generation in the vault.
    fn shift(&mut self, position: impl Fn(Token) -> Token) {
        self.owner = position(self.owner);
        self.thief = self.thief.map(&position);
        for request in &mut self.requests {
            request.token = position(request.token);
        }
    }
}
