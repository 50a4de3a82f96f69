//! A group's members are no groups, and few. The types could nest without end, so this is checked while
//! they are read: half a megabyte of nothing but groups in groups would end the process by its stack.

use std::cell::Cell;

use serde::{Deserialize, Deserializer, de::Error};

use crate::{Event, MAX_GROUP, Rejection};

thread_local! {
    /// Whether a member is being read.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Reads the events of a group.
pub(crate) fn events<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Event>, D::Error> {
    let events: Vec<Event> = inside(deserializer)?;
    if events.len() > MAX_GROUP {
        return Err(D::Error::custom(format!("a group of {} events; it has at most {MAX_GROUP}", events.len())));
    }
    Ok(events)
}

/// Reads why a member was refused.
pub(crate) fn rejection<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<Rejection>, D::Error> {
    inside(deserializer)
}

fn inside<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    /// Ends when the member is read, well or not.
    struct Member;
    impl Drop for Member {
        fn drop(&mut self) {
            INSIDE.set(false);
        }
    }
    if INSIDE.get() {
        return Err(D::Error::custom("a group inside a group"));
    }
    INSIDE.set(true);
    let _member = Member;
    T::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, DecodeError, Record, decode_record, encode_record};

    fn member(rejection: Rejection) -> Rejection {
        Rejection::Member { member: 1, rejection: Box::new(rejection) }
    }

    #[test]
    fn a_member_is_no_group() {
        let read = |rejection: &Rejection| {
            let bytes = postcard::to_stdvec(rejection).unwrap();
            let json = serde_json::to_string(rejection).unwrap();
            (postcard::from_bytes::<Rejection>(&bytes).ok(), serde_json::from_str::<Rejection>(&json).ok())
        };
        let one = member(Rejection::NothingToDo);
        assert_eq!(read(&one), (Some(one.clone()), Some(one.clone())));
        assert_eq!(read(&member(one.clone())), (None, None));
        assert_eq!(read(&one), (Some(one.clone()), Some(one)), "as before the one that could not be read");
    }

    #[test]
    fn a_group_has_no_more_members_than_a_command_may_have() {
        let bytes = include_bytes!("../../tests/golden/v3/group.bin");
        let mut record = decode_record(bytes).unwrap();
        let Body::Event(event) = &mut record.body else { panic!("{record:?}") };
        let Event::Group(members) = &mut **event else { panic!("{event:?}") };
        let member = members[0].clone();
        for (count, reads) in [(MAX_GROUP, true), (MAX_GROUP + 1, false), (300, false)] {
            let mut record = record.clone();
            record.body = Body::Event(Box::new(Event::Group(vec![member.clone(); count])));
            let mut bytes = Vec::new();
            encode_record(&record, &mut bytes);
            assert_eq!(decode_record(&bytes).is_ok(), reads, "{count} members");
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&json).is_ok(), reads, "{count} members in JSON");
        }
    }

    #[test]
    fn a_record_of_groups_in_groups_is_refused_before_the_stack_ends() {
        let refused = include_bytes!("../../tests/golden/v3/refused_nothing_to_do.bin");
        let rejected = refused.len() - 2; // the body's kind and the refusal's follow
        let innermost = refused[refused.len() - 1];
        let mut bytes = refused[..=rejected].to_vec();
        for _ in 0..200_000 {
            bytes.extend([innermost + 1, 1]);
        }
        bytes.push(innermost);
        assert!(matches!(decode_record(&bytes), Err(DecodeError::Malformed(_))));
    }
}
