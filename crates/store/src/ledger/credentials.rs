//! Rows of credentials, their versions and rotations. Sealed bytes, never values.

use haus_model::{CredentialKind, ServiceName, Timestamp};

/// Where a credential comes from, and so who may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialOrigin {
    /// The plan describes it.
    Plan,
    /// It was created over the API or the command line.
    Api,
}

impl CredentialOrigin {
    /// Both of them.
    pub const ALL: [CredentialOrigin; 2] = [CredentialOrigin::Plan, CredentialOrigin::Api];

    /// The word on disk and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            CredentialOrigin::Plan => "plan",
            CredentialOrigin::Api => "api",
        }
    }
}

/// A credential without its value.
#[derive(Clone, Debug, PartialEq)]
pub struct CredentialRow {
    /// UUID, version 4.
    pub id: String,
    /// Its name; with the owner it is unique.
    pub name: String,
    /// The service that owns it; none: the house, so the plan.
    pub owner: Option<ServiceName>,
    /// What it is used for.
    pub kind: CredentialKind,
    /// For people.
    pub description: Option<String>,
    /// A JSON object of the owner's own.
    pub metadata: String,
    /// Who may change it.
    pub origin: CredentialOrigin,
    /// Services that may have it, the owner among them.
    pub scope: Vec<ServiceName>,
    /// Number of the current version, from 1.
    pub version: u64,
    /// Somebody asked for a rotation, or it is due.
    pub rotation_required: bool,
    /// Days between rotations.
    pub rotate_days: Option<u32>,
    /// When the current version may no longer be read.
    pub expires_at: Option<Timestamp>,
    /// Rotations so far.
    pub rotation_count: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// When the current version was made.
    pub rotated_at: Timestamp,
    /// When it was read last.
    pub last_used_at: Option<Timestamp>,
    /// Grows with every change; the ETag.
    pub revision: u64,
}

/// A change of what is not the value; none leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CredentialChange {
    /// For people.
    pub description: Option<Option<String>>,
    /// A JSON object.
    pub metadata: Option<String>,
    /// What it is used for.
    pub kind: Option<CredentialKind>,
    /// Services that may have it.
    pub scope: Option<Vec<ServiceName>>,
    /// When it expires.
    pub expires_at: Option<Option<Timestamp>>,
    /// Whether a rotation is wanted.
    pub rotation_required: Option<bool>,
    /// Days between rotations.
    pub rotate_days: Option<Option<u32>>,
}

impl CredentialChange {
    /// Makes the change in a row, but for its time and revision.
    pub fn apply(&self, row: &mut CredentialRow) {
        let CredentialChange {
            description,
            metadata,
            kind,
            scope,
            expires_at,
            rotation_required,
            rotate_days,
        } = self;
        if let Some(description) = description {
            row.description.clone_from(description);
        }
        if let Some(metadata) = metadata {
            row.metadata.clone_from(metadata);
        }
        if let Some(kind) = kind {
            row.kind = *kind;
        }
        if let Some(scope) = scope {
            row.scope.clone_from(scope);
        }
        if let Some(expires_at) = expires_at {
            row.expires_at = *expires_at;
        }
        if let Some(required) = rotation_required {
            row.rotation_required = *required;
        }
        if let Some(days) = rotate_days {
            row.rotate_days = *days;
        }
    }
}

/// The life of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    /// Made, not yet proven.
    Pending,
    /// The one that is handed out.
    Current,
    /// Still valid for a while beside the current one.
    Previous,
    /// Ended; its bytes are gone.
    Retired,
}

impl VersionState {
    /// All of them, in the order of a life.
    pub const ALL: [VersionState; 4] =
        [VersionState::Pending, VersionState::Current, VersionState::Previous, VersionState::Retired];

    /// The word on disk and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            VersionState::Pending => "pending",
            VersionState::Current => "current",
            VersionState::Previous => "previous",
            VersionState::Retired => "retired",
        }
    }
}

/// One version of a value, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// The credential.
    pub credential: String,
    /// From 1, never given twice for one credential.
    pub version: u64,
    /// Where it is in its life.
    pub state: VersionState,
    /// As the vault sealed it; empty when retired.
    pub sealed: Vec<u8>,
    /// The key that it is sealed with.
    pub key_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Of a previous one: until when it is valid.
    pub valid_until: Option<Timestamp>,
}

/// How far a rotation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationRow {
    /// Its id.
    pub id: String,
    /// The credential.
    pub credential: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended, however it did.
    pub ended_at: Option<Timestamp>,
    /// The machine's own state, JSON.
    pub state: String,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// The name, then the owner.
    #[default]
    Name,
    /// When it was made.
    CreatedAt,
    /// When it was changed last.
    UpdatedAt,
    /// When it expires; those that never do come last (descending: first).
    ExpiresAt,
}

/// Which credentials to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialQuery {
    /// Only those that this service may have.
    pub service: Option<ServiceName>,
    /// Only of this kind.
    pub kind: Option<CredentialKind>,
    /// Only this name.
    pub name: Option<String>,
    /// Only those that expire before this time.
    pub expires_before: Option<Timestamp>,
    /// So many are passed over.
    pub skip: u64,
    /// At most so many.
    pub limit: u64,
    /// The order.
    pub sort_by: SortBy,
    /// The other way round.
    pub descending: bool,
}
