//! Attack 24: RS256 signatures whose padding is not the one encoding of RFC 8017 §9.2.
//!
//! Each was made with a private key that was then thrown away: a wrong padding, raised to the private
//! exponent. The first of [`SIGNATURES`] is the right one, which shows that the others fail for
//! their padding alone.

/// The modulus; the exponent is `AQAB`.
pub(crate) const MODULUS: &str = "unEG920ia7IY8Ylh-IRFUGC_-iI9SzB6VEcjqU7jvZ2DOfFQMNcmbDLsxy3_zySVwPIZjBmxlav0CK1gLjnWqLnuJYQX1AWokAgsPfJhMXpBizWwWkhWvMppKWZajPGdMic1yq7Vw1s1IdTxNV-p9d00ZEMFnbUr7Xt9dpnve9oS4U09z8-PYAIcYu_taZEumzHXbhSRKPfTad3HHGzxEHYLQAXq1YP7GLO-s0P5gxIgkaJAmjYz7ci55R-JO2uucPBZakcdvo2u9jOWb2ohGayDqWPmrJW_KQAwbEDWW1pL5EUA7dDpCJpCt1letlPB5H8XRcpKB1os7bcPS70LaQ";

/// The first two parts of the token: `{"alg":"RS256"}` and `{"sub":"user-1"}`.
pub(crate) const SIGNING_INPUT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyLTEifQ";

/// What is wrong with the padding, and the signature.
pub(crate) const SIGNATURES: [(&str, &str); 9] = [
    (
        "nothing",
        "lMYmzmFlAYe8UALBtXs7AtQnoSqrdqImDazhlaWcDeR9d27_LElrQKk0nl3h_4bhGTz_UIv_M3lFOYGOuaVpx1JlU_wG3Dz9niTBuhFTqiitzylWzXXRf0CMnIjdFDy2-UKoBWsFYST4Uh-aR9MHoM2COTCI7r2NxmmYiuSQVnzIm_7m5lzkKRyNEkWWskXq-0PafMtlNriErT81QKXy4_-IwZZbHLfH9fFLggGrsTB4ruCf390xDEXdFLynD2XcBTFjmIuYdvhKD1GR-io8ja859_G-oNnV5PytY5ZiSL-SodT0uut-rp6o2ZIZb90BToSixd7MTPsA9GkpLaOD2A",
    ),
    (
        "garbage after the digest",
        "C086uUXZzv09t3cNYlZiFbEApMBIboJ4EfXEQjYWdoc2hiVztssEw6R0KXwvbqOUmbUIlWwehTAzwQ0FRGnygR2JlzbZjSyT5AMNHGLMg5eh_Qa03spnd68yQ4SwiMz7z_rAQg-WxfOA45VQjspcngjh-I0FaRlaPnlVtiZS4ifMhlabVOHszOSI911z7TMNG64oUjlRMepny9CTLF92N06fs-tNv1eFG3dSn817GP20_E3Y1MKER4cawkJ9LNZdB4xuaCHZ10HQy4TMtyOKQZVU6ykVVfsQ3sMJrPxm2PEYoU6V7N5paG8nlQ2CjZN6GJ6BqGaEqIPmunuQbaBoxw",
    ),
    (
        "garbage before the digest info",
        "cWzeGImpIYYEez82CGE4nw3y3IqHIYWXzN3RAH5Wry_cyB91_4t_sT6bjZyFU1kTY_VcIVH_dQt6r7gSAVQ-oM4GvK5HTmv0LozLc-ORzdsw7ZMwQi4-V25Ns_qFOB036iqWRANQdRxjv1-p6V7LttHMCRDwOcBk7eCqfGQZW7UDHLdT7WbUdq2hzlOipgky2furmDTugy5J98jZipD7PkWMHxUW3wfkXGv_ODnYxqE0-Nm-NgAqOzpkbFlofM-fFqLPsuMbpTuHZE7396XxMRo-UWQdlIek4kgNLREISNPk4hgJT6i4dp8Y7epIl3rYJCpWGLPggWWY_dDGGderbA",
    ),
    (
        "digest info without its NULL",
        "pNqlt8hRUE7Sq74Y1Hu6tSZnPUGY_nxNsMz2Dw7kmz8K9WtsflXOnzFJAmNkdGl7ZlhSXcUT8OUcrt10e6MYw293pp5X0elAq0I4PGiGNx1vJHUZRi8X7KL2fY-o3Ymi-9QsTOvWDzP01M3HUwQajBlq81_MFo2cbJBO7IHQJpOidMyevFZkh8su1svFzSpqmU4tqzYNKgjgztcosZWDHqgYXUn8RgvDPnEmTwBiOq77F0qPbcMdcKcxR_5qtMlHaB2MRZ4jo_1ZdHuqkLMbjcm2wOfrObtQmOy8-ehmR8GhylMlLG5u45BqXpvbJGqBAFevsqmpr8Hbg817n5lvWw",
    ),
    (
        "SHA-1 digest",
        "pa4KhjxlrQYEzQCE7w0V1WAbda6v--dJ4dHcH0aT8CaxlIQUpGE6IubdEG3UzmwPmbSZAJuGPedzBHCRpND2H6wicAfUBoHUTzvjS57Urmvd9XKwKDagPrd-dUvAzRarjJD3QKzZOnLKSMMdZng6VjzQlzQ8Ndi9BdJEEeujpWe6WXODOvxGhWOoOtQ3x4zMVFLuS16NvjoGvE-68sTWvC7Nq-tQplU-jPiv7o1fhEeUhVAfDTS5wmyOWpmOBGgP2vq3inoNetFxAS8UdKsN3MRSuqT8gzvJoEWCX-4ED6_LzrvM3JnkOtQm5VipL7P1Xs6kaXuXzrdn1yo29LraOQ",
    ),
    (
        "block type 2",
        "Y-6KZb0wHw3q7UAD7KWPLgKQQQSTlzbU8pKYZOep2X2ULIZTDcpccERjyyOiP46M4OTvb32YwnbZy0VUPyVEAhw9_WZguNzv392w0ZOXBS7JS8g7FTLfoCBquRmudrzX1qq0fv1fc9YoJlSsomhbWVvAhnjxxru87OIgyv8wTZhYy4GjKkkyu0PeC1p_2WRUvi7ilWbSAyYKEBRwAZUmK5GUI9EvhiHa2In8SX3C9RZjCDf2objP5uLdqeG1g2hJnD3_lpyWo3fwfTm-5l3B4tYVNl37Rny6Em6lkMsgWTEWfOiVuc2sV6Y4pvNGjFZWM5TS8RplY9UoRdbsVthJDw",
    ),
    (
        "digest without its info",
        "t5v28lwLImzUEG97UzeVI9s2qZ-qw3B-YMksyqzKuFVwJxVuSxi95i-TDYF1_HiFAk87TDK2l2uUNIB4Ahxmvj3gJAWQTrwRHG0Zlx56FoEdTLjclYVBhgkKO_34rWvip7gNb11QUQxxHYWsqHyU5kjxQcADPU-44eLbkY06tfqJW_2mIjgBD49mM_3C9wEG5uHfl3gSDfbOaKhEvHKuH_TZBV_IE0koK6G3eoQC0IHD9f0bbXSSps_hH3Ry5lROZ3BfR2H9pMLuJvj3CqQHVruNR_dLdzpoO2FgPyBN6kOOM0BdYEI5Mz-GTzJ96LZbmcRf_62vyS4WPH8HnSnuYQ",
    ),
    (
        "a padding octet that is not 0xff",
        "LLCDTLpKW60aa58ZG1O5wPUhycDoo72RPR5baHuW8NnWxYFZudaGkiqf9D4tkcEnCs7RmQ96enrb11toB0JV0wujNKOhaZuklGorX6c1gUUaleP38_XEBc6LEwJ4ON7y8uXhGx6W5TjyErHQ_I77qpVV7AkJul-jYVtS3zWMUGE91l31Go6AD9S4AkHnQtwUWYrHUdAm0XtyhzuC3G7dZhWKt9dS4kx0CwvvUa8t0qEhLTW1xAVLZwhc4bxP8NzfOoIpgOaW1Rfy_167z8NvAJWwjl11HgPjijrzDYitOF1pPpD3VZ0SXMuOfT9DxXZ7zf0mcikIJO-MXadqbIUvhw",
    ),
    (
        "length in long form",
        "tkdHZmgR915MPwuTv7Ld1jN8Y6KWeXgEYrmXacdhh5jA7hNRHJlP-qTSHlOMm8B0f0oGhrYfrySvDITXiYqEw-Kqsbv6z6AdwUhFVIJ0XoAC5EqWK_UAPQRANIz5XFktn1KrhvLtyffzHHRFyK25Tpbr9LHxMupoDxLrwkEEkzrivs1TrYJbS42bNAx6COJV5CuVlXK4lh575flupzlA-gWIZhpY7YnCMSt_RY0EEpAH0QR87GTY_E-lfkqIVl6UMDqNYLcrIoDIBpMcTPsBUcXiVlKTJZbQlKwWqDZN-vxLPSkl09AWFQordCvPyE4TmHHag6URDJxJG3N2mItj6g",
    ),
];
