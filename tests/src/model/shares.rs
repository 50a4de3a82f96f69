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

/// Splits by weights, or equally where they are all zero.
pub fn split_or_equally(total: i128, weights: &[i128]) -> Vec<i128> {
    if weights.iter().sum::<i128>() == 0 { split(total, &vec![1; weights.len()]) } else { split(total, weights) }
}

/// The values of some shares.
pub fn values(shares: &[Share]) -> Vec<i128> {
    shares.iter().map(|share| share.value).collect()
}

/// The bases of some shares.
pub fn bases(shares: &[Share]) -> Vec<i128> {
    shares.iter().map(|share| share.base).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_of_the_domain() {
        assert_eq!(split(4, &[6, 6, 2]), [2, 2, 0]);
        assert_eq!(split(1, &[2, 2, 0]), [1, 0, 0]);
        assert_eq!(split(3, &[1, 1]), [2, 1]);
        assert_eq!(split_or_equally(3, &[0, 0]), [2, 1]);
    }
}
