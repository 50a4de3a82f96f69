//! Splitting among recipients.

use schemas::StreamerId;

/// What a recipient holds of a gift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Who.
    pub streamer: StreamerId,
    /// Recipient value.
    pub value: i128,
    /// What of it pays out.
    pub base: i128,
}

/// Splits `total` by weights: everyone gets the floor of their part; what is left goes one by one to
/// those with the largest remainders, ties to the first named.
pub fn split(total: i128, weights: &[i128]) -> Vec<i128> {
    let sum: i128 = weights.iter().sum();
    if total == 0 {
        return vec![0; weights.len()];
    }
    assert!(sum > 0, "a split of {total} among nobody");
    let mut parts: Vec<i128> = weights.iter().map(|weight| total * weight / sum).collect();
    let mut remainders: Vec<i128> = weights.iter().map(|weight| total * weight % sum).collect();
    for _ in 0..total - parts.iter().sum::<i128>() {
        let largest = *remainders.iter().max().expect("there is a weight");
        let first = remainders.iter().position(|remainder| *remainder == largest).expect("it was just seen");
        parts[first] += 1;
        remainders[first] = -1;
    }
    parts
}

/// What is left of some first shares when `total` is, by Webster's method: coin by coin, each to whose first
/// share divided by 1, 3, 5… (twice the coins that they have by then, and one) is the largest, ties to the
/// last named.
pub fn left_of(first: &[i128], total: i128) -> Vec<i128> {
    let sum: i128 = first.iter().sum();
    assert!(total <= sum, "{total} is left of {sum}");
    // Nobody ends further below their exact part than there are recipients: all exact parts, each rounded to
    // the nearest coin, are the largest claims that there are, and are too many by half of the recipients at
    // most. Those coins need not be gone through one by one, of which there can be 2^53.
    let recipients = i128::try_from(first.len()).expect("there are few recipients");
    let sure = |weight: &i128| if total == 0 { 0 } else { (total * weight / sum - recipients).max(0) };
    let mut coins: Vec<i128> = first.iter().map(sure).collect();
    for _ in 0..total - coins.iter().sum::<i128>() {
        let mut largest = 0;
        for i in 1..first.len() {
            if first[i] * (2 * coins[largest] + 1) >= first[largest] * (2 * coins[i] + 1) {
                largest = i;
            }
        }
        coins[largest] += 1;
    }
    coins
}

/// What each recipient holds of a gift that began with these shares, when so much of its charge is left, of
/// which so much is paid.
pub fn held(first: &[(StreamerId, i128)], charged: i128, left: i128, paid_left: i128) -> Vec<Share> {
    let firsts: Vec<i128> = first.iter().map(|(_, value)| *value).collect();
    let value_left = firsts.iter().sum::<i128>() * left / charged;
    let base_left = if left == 0 { 0 } else { value_left * paid_left / left };
    let values = left_of(&firsts, value_left);
    let bases = split(base_left, &values);
    let amounts = values.into_iter().zip(bases);
    first.iter().zip(amounts).map(|((who, _), (value, base))| Share { streamer: who.clone(), value, base }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_of_the_domain() {
        assert_eq!(split(4, &[6, 6, 2]), [2, 2, 0]);
        assert_eq!(split(3, &[1, 1]), [2, 1]);
    }

    #[test]
    fn values_left_of_the_domain() {
        assert_eq!(left_of(&[2, 2, 0], 3), [1, 2, 0], "never the fresh split of 3");
        assert_eq!(left_of(&[2, 1, 1], 2), [1, 0, 1]);
        assert_eq!(left_of(&[0, 0], 0), [0, 0]);
    }

    #[test]
    fn shares_held_of_the_domain() {
        let first = ["a", "b", "c"].map(|name| name.parse().expect("an id")).into_iter().zip([2, 1, 1]);
        let held = held(&first.collect::<Vec<_>>(), 4, 2, 1);
        let shown: Vec<(i128, i128)> = held.iter().map(|share| (share.value, share.base)).collect();
        assert_eq!(shown, [(1, 1), (0, 0), (1, 0)]);
    }

    /// The coins that are not gone through are those that everybody gets in any case.
    #[test]
    fn a_sure_start_is_no_other_way() {
        for weights in [vec![1000, 1, 1, 1, 1, 1, 1, 1], vec![7, 7, 7, 500, 3], vec![999, 998, 3, 0, 1]] {
            for total in 0..=weights.iter().sum::<i128>() {
                let mut coins = vec![0; weights.len()];
                for _ in 0..total {
                    let claim = |i: &usize, j: &usize| {
                        (weights[*i] * (2 * coins[*j] + 1)).cmp(&(weights[*j] * (2 * coins[*i] + 1)))
                    };
                    let largest = (0..weights.len()).max_by(claim).expect("there is one");
                    coins[largest] += 1;
                }
                assert_eq!(left_of(&weights, total), coins, "{total} of {weights:?}");
            }
        }
    }
}
