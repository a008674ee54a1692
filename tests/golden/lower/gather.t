# An index is checked, then clamped, so that no read is outside.
entry f(t: f32[50, 8], i: i64[B]) -> f32[B, 8] { t[i] }
---
kernel f_0_elementwise(B in 1..=2147483647; in x2: i64[B], in x1: f32[50, 8], out y3: f32[B, 8]) {
  stage main(i0 < B) {
    for j in 0..8 vector 8 tail mask {
      let v2 = x2[i0]
      let i = idx(v2)
      fail 1 if !(i >= 0 && i < 50)
      let v1 = x1[max(min(i, 49), 0), j]
      let v3 = v1
      y3[i0, j] = v3
    }
  }
}

