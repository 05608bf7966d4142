//! Enums for inputs that accept one of a few words.

/// An enum whose variants are the words that an input accepts. Defined by
/// [`choice!`](crate::choice!), declared by `InputKind::Choice(T::WORDS)`, and read by
/// [`Reader::choice`](crate::Reader::choice); or `T::WORDS_OR_AUTO` and
/// [`Reader::choice_or_auto`](crate::Reader::choice_or_auto).
pub trait Choice: Copy + 'static {
    /// All values, in the order of the declaration.
    const VALUES: &'static [Self];

    /// All accepted words, in the order of the documentation.
    const WORDS: &'static [&'static str];

    /// `auto`, and all accepted words.
    const WORDS_OR_AUTO: &'static [&'static str];

    /// The value of `word`.
    fn from_word(word: &str) -> Option<Self>;

    /// The word for this value; the first one if there are several.
    fn word(self) -> &'static str;
}

/// Declares an enum with the word for each variant, and implements [`Choice`]
/// and `Serialize` (as the word) for it:
///
/// ```
/// use toolkit::{Choice as _, choice};
///
/// choice! {
///     /// How much is restored.
///     pub enum Restore {
///         /// Only what recent jobs used.
///         Needed = "needed",
///         /// Everything.
///         All = "all" | "everything",
///     }
/// }
///
/// assert_eq!(Restore::WORDS, ["needed", "all", "everything"]);
/// assert_eq!(Restore::from_word("everything"), Some(Restore::All));
/// assert_eq!(Restore::All.word(), "all");
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal $(| $alias:literal)*),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        $visibility enum $name {
            $($(#[$variant_meta])* $variant),+
        }

        impl $crate::Choice for $name {
            const VALUES: &'static [Self] = &[$(Self::$variant),+];
            const WORDS: &'static [&'static str] = &[$($word $(, $alias)*),+];
            const WORDS_OR_AUTO: &'static [&'static str] = &["auto", $($word $(, $alias)*),+];

            fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word $(| $alias)* => Some(Self::$variant),)+
                    _ => None,
                }
            }

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::Choice::word(*self))
            }
        }
    };
}
