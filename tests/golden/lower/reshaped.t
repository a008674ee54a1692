# Elements keep their numbers when they are seen in another shape: one line of them, four vectors drawn at a time.
entry f(x: f32[B, 4, 6]) -> f32[B, 24] { random.uniform([B, 24]) * x.reshape([B, 24]) }
---
kernel f_0_elementwise(B in 1..=2147483647; in rng: u32[4], in x1: f32[24 * B], out y4: f32[24 * B]) {
  stage main(t < ((24 * B + 4095) // 4096)) {
    for four in 0..(min(24 * B, t * 4096 + 4096) - t * 4096) // 64 {
      let first = t * 4096 + four * 64
      let c = mulhi(u32(0), u32(3449720151)) ^ 1395032522 ^ splat(rng[0], 16)
      let c_2 = mulhi(u32(first // 4 + lane(16)), 3528531795) ^ rng[2] ^ splat(rng[1], 16)
      let c_3 = mulhi(c_2, 3449720151) ^ u32(0) * u32(3449720151) ^ splat(rng[0], 16) + 2654435769
      let c_4 = mulhi(c, 3528531795) ^ u32(first // 4 + lane(16)) * 3528531795 ^ splat(rng[1], 16) + 3144134277
      let c_5 = mulhi(c_4, 3449720151) ^ c_2 * 3449720151 ^ splat(rng[0], 16) + 1013904242
      let c_6 = mulhi(c_3, 3528531795) ^ c * 3528531795 ^ splat(rng[1], 16) + 1993301258
      let c_7 = mulhi(c_6, 3449720151) ^ c_4 * 3449720151 ^ splat(rng[0], 16) + 3668340011
      let c_8 = mulhi(c_5, 3528531795) ^ c_3 * 3528531795 ^ splat(rng[1], 16) + 842468239
      let c_9 = mulhi(c_8, 3449720151) ^ c_6 * 3449720151 ^ splat(rng[0], 16) + 2027808484
      let c_10 = mulhi(c_7, 3528531795) ^ c_5 * 3528531795 ^ splat(rng[1], 16) + 3986602516
      let c_11 = mulhi(c_10, 3449720151) ^ c_8 * 3449720151 ^ splat(rng[0], 16) + 387276957
      let c_12 = mulhi(c_9, 3528531795) ^ c_7 * 3528531795 ^ splat(rng[1], 16) + 2835769497
      let c_13 = mulhi(c_12, 3449720151) ^ c_10 * 3449720151 ^ splat(rng[0], 16) + 3041712726
      let c_14 = mulhi(c_11, 3528531795) ^ c_9 * 3528531795 ^ splat(rng[1], 16) + 1684936478
      let c_15 = mulhi(c_14, 3449720151) ^ c_12 * 3449720151 ^ splat(rng[0], 16) + 1401181199
      let c_16 = mulhi(c_13, 3528531795) ^ c_11 * 3528531795 ^ splat(rng[1], 16) + 534103459
      let c_17 = mulhi(c_16, 3449720151) ^ c_14 * 3449720151 ^ splat(rng[0], 16) + 4055616968
      let c_18 = mulhi(c_15, 3528531795) ^ c_13 * 3528531795 ^ splat(rng[1], 16) + 3678237736
      let c_19 = mulhi(c_18, 3449720151) ^ c_16 * 3449720151 ^ splat(rng[0], 16) + 2415085441
      let c_20 = mulhi(c_17, 3528531795) ^ c_15 * 3528531795 ^ splat(rng[1], 16) + 2527404717
      let c_21 = c_18 * 3449720151
      let c_22 = c_17 * 3528531795
      let h = perm2(c_19, c_21, lane(16) // 2 + lane(16) % 2 * 16)
      let h_2 = perm2(c_19, c_21, lane(16) // 2 + lane(16) % 2 * 16 + 8)
      let h_3 = perm2(c_20, c_22, lane(16) // 2 + lane(16) % 2 * 16)
      let h_4 = perm2(c_20, c_22, lane(16) // 2 + lane(16) % 2 * 16 + 8)
      let u = f32(perm2(h, h_3, lane(16) // 4 * 2 + lane(16) % 2 + lane(16) // 2 % 2 * 16) >> 8) * 5.9604645e-08
      let u_2 = f32(perm2(h, h_3, lane(16) // 4 * 2 + lane(16) % 2 + lane(16) // 2 % 2 * 16 + 8) >> 8) * 5.9604645e-08
      let u_3 = f32(perm2(h_2, h_4, lane(16) // 4 * 2 + lane(16) % 2 + lane(16) // 2 % 2 * 16) >> 8) * 5.9604645e-08
      let u_4 = f32(perm2(h_2, h_4, lane(16) // 4 * 2 + lane(16) % 2 + lane(16) // 2 % 2 * 16 + 8) >> 8) * 5.9604645e-08
      let v4 = u * x1[first + lane(16)]
      y4[first + lane(16)] = v4
      let v4_2 = u_2 * x1[first + 16 + lane(16)]
      y4[first + 16 + lane(16)] = v4_2
      let v4_3 = u_3 * x1[first + 32 + lane(16)]
      y4[first + 32 + lane(16)] = v4_3
      let v4_4 = u_4 * x1[first + 48 + lane(16)]
      y4[first + 48 + lane(16)] = v4_4
    }
    for j in t * 4096 + (min(24 * B, t * 4096 + 4096) - t * 4096) // 64 * 64..min(24 * B, t * 4096 + 4096) vector 16 tail mask {
      let c = mulhi(u32(0), u32(3449720151)) ^ 1395032522 ^ splat(rng[0], 16)
      let c_2 = mulhi(u32(j // 4), 3528531795) ^ rng[2] ^ splat(rng[1], 16)
      let c_3 = mulhi(c_2, 3449720151) ^ u32(0) * u32(3449720151) ^ splat(rng[0], 16) + 2654435769
      let c_4 = mulhi(c, 3528531795) ^ u32(j // 4) * 3528531795 ^ splat(rng[1], 16) + 3144134277
      let c_5 = mulhi(c_4, 3449720151) ^ c_2 * 3449720151 ^ splat(rng[0], 16) + 1013904242
      let c_6 = mulhi(c_3, 3528531795) ^ c * 3528531795 ^ splat(rng[1], 16) + 1993301258
      let c_7 = mulhi(c_6, 3449720151) ^ c_4 * 3449720151 ^ splat(rng[0], 16) + 3668340011
      let c_8 = mulhi(c_5, 3528531795) ^ c_3 * 3528531795 ^ splat(rng[1], 16) + 842468239
      let c_9 = mulhi(c_8, 3449720151) ^ c_6 * 3449720151 ^ splat(rng[0], 16) + 2027808484
      let c_10 = mulhi(c_7, 3528531795) ^ c_5 * 3528531795 ^ splat(rng[1], 16) + 3986602516
      let c_11 = mulhi(c_10, 3449720151) ^ c_8 * 3449720151 ^ splat(rng[0], 16) + 387276957
      let c_12 = mulhi(c_9, 3528531795) ^ c_7 * 3528531795 ^ splat(rng[1], 16) + 2835769497
      let c_13 = mulhi(c_12, 3449720151) ^ c_10 * 3449720151 ^ splat(rng[0], 16) + 3041712726
      let c_14 = mulhi(c_11, 3528531795) ^ c_9 * 3528531795 ^ splat(rng[1], 16) + 1684936478
      let c_15 = mulhi(c_14, 3449720151) ^ c_12 * 3449720151 ^ splat(rng[0], 16) + 1401181199
      let c_16 = mulhi(c_13, 3528531795) ^ c_11 * 3528531795 ^ splat(rng[1], 16) + 534103459
      let c_17 = mulhi(c_16, 3449720151) ^ c_14 * 3449720151 ^ splat(rng[0], 16) + 4055616968
      let c_18 = mulhi(c_15, 3528531795) ^ c_13 * 3528531795 ^ splat(rng[1], 16) + 3678237736
      let c_19 = mulhi(c_18, 3449720151) ^ c_16 * 3449720151 ^ splat(rng[0], 16) + 2415085441
      let c_20 = mulhi(c_17, 3528531795) ^ c_15 * 3528531795 ^ splat(rng[1], 16) + 2527404717
      let c_21 = c_18 * 3449720151
      let c_22 = c_17 * 3528531795
      let v2 = f32(select(j % 4 == 3, c_22, select(j % 4 == 2, c_20, select(j % 4 == 1, c_21, c_19))) >> 8) * 5.9604645e-08
      let v4 = v2 * x1[j]
      y4[j] = v4
    }
  }
}

