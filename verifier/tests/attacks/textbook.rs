//! RSA and ECDSA as a textbook has them: the equations, and not one check around them.

use std::sync::LazyLock;

use num_bigint::BigUint;

/// The curve P-256 (SP 800-186 §3.2.1.3); its `a` is −3, and its `b` stands in no formula below. That
/// is how a point of another curve can be computed with.
pub(crate) struct Curve {
    pub(crate) prime: BigUint,
    pub(crate) order: BigUint,
    pub(crate) b: BigUint,
    pub(crate) generator: Point,
}

/// A point, or infinity.
pub(crate) type Point = Option<(BigUint, BigUint)>;

pub(crate) static P256: LazyLock<Curve> = LazyLock::new(|| {
    let number = |text: &str| BigUint::parse_bytes(text.as_bytes(), 16).unwrap();
    Curve {
        prime: number("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
        order: number("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
        b: number("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"),
        generator: Some((
            number("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
            number("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
        )),
    }
});

impl Curve {
    pub(crate) fn add(&self, one: &Point, other: &Point) -> Point {
        let (Some((x1, y1)), Some((x2, y2))) = (one, other) else {
            return one.clone().or_else(|| other.clone());
        };
        let slope = if x1 != x2 {
            self.subtract(y2, y1) * self.subtract(x2, x1).modinv(&self.prime)?
        } else if y1 == y2 {
            // No inverse of 0: the tangent in a point of order 2 leads to infinity.
            (x1 * x1 * 3_u32 + &self.prime - 3_u32) * (y1 * 2_u32).modinv(&self.prime)?
        } else {
            return None;
        } % &self.prime;
        let x = self.subtract(&self.subtract(&(&slope * &slope % &self.prime), x1), x2);
        let y = self.subtract(&(&slope * self.subtract(x1, &x) % &self.prime), y1);
        Some((x, y))
    }

    pub(crate) fn multiply(&self, scalar: &BigUint, point: &Point) -> Point {
        let mut product = None;
        for bit in (0..scalar.bits()).rev() {
            product = self.add(&product, &product);
            if scalar.bit(bit) {
                product = self.add(&product, point);
            }
        }
        product
    }

    pub(crate) fn negate(&self, point: &Point) -> Point {
        let (x, y) = point.as_ref()?;
        Some((x.clone(), self.subtract(&BigUint::ZERO, y)))
    }

    /// y² of the curve at `x`.
    pub(crate) fn square_of_y(&self, x: &BigUint) -> BigUint {
        self.subtract(&(x * x * x + &self.b), &(x * 3_u32))
    }

    pub(crate) fn contains(&self, x: &BigUint, y: &BigUint) -> bool {
        x < &self.prime && y < &self.prime && y * y % &self.prime == self.square_of_y(x)
    }

    /// One inverse for all: 0 has itself, as in code that computes `a^(order - 2)`.
    pub(crate) fn inverse_of_scalar(&self, scalar: &BigUint) -> BigUint {
        (scalar % &self.order)
            .modinv(&self.order)
            .unwrap_or_default()
    }

    fn subtract(&self, one: &BigUint, other: &BigUint) -> BigUint {
        (one % &self.prime + &self.prime - other % &self.prime) % &self.prime
    }
}

/// FIPS 186-5 §6.4.2 from step 4 on, without the ranges of step 1; infinity is taken to lie at 0.
pub(crate) fn ecdsa_holds(key: &Point, digest: &[u8], r: &[u8], s: &[u8]) -> bool {
    let [digest, r, s] = [digest, r, s].map(BigUint::from_bytes_be);
    let inverse = P256.inverse_of_scalar(&s);
    let left = P256.multiply(&(digest * &inverse % &P256.order), &P256.generator);
    let right = P256.multiply(&(&r * inverse % &P256.order), key);
    let (x, _) = P256.add(&left, &right).unwrap_or_default();
    x % &P256.order == r % &P256.order
}

/// The block that an RSA signature was made of: `signature^e mod n`, as long as the modulus.
pub(crate) fn rsa_block(modulus: &[u8], exponent: &[u8], signature: &[u8]) -> Vec<u8> {
    let [n, e, signature] = [modulus, exponent, signature].map(BigUint::from_bytes_be);
    octets_of_length(&signature.modpow(&e, &n), modulus.len())
}

/// Big-endian, with zeros in front.
pub(crate) fn octets_of_length(number: &BigUint, length: usize) -> Vec<u8> {
    let octets = number.to_bytes_be();
    [vec![0; length - octets.len()], octets].concat()
}
