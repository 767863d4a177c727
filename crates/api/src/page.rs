//! Lists in pages, as the zimmer document has them (spec 2.3).

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Items of one page at most.
pub const LIMIT_MAX: u64 = 1_000;
/// Items of one page when nothing is said.
pub const LIMIT_DEFAULT: u64 = 50;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// Items that match, on all pages together.
    pub total: u64,
    /// Items that were passed over.
    pub skip: u64,
    /// Items on a page at most.
    pub limit: u64,
    /// The items.
    pub items: Vec<T>,
}

/// Which page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items to pass over.
    #[param(minimum = 0)]
    pub skip: Option<u64>,
    /// Items on a page, 1 to 1000; 50 when absent.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u64>,
}

/// The direction of a sorted list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// Smallest first.
    #[default]
    Asc,
    /// Largest first.
    Desc,
}
