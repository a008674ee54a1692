# A scatter adds in order, each task its own columns.
entry f(x: f32[6, 4], i: i64[B], u: f32[B, 4]) -> f32[6, 4] { index_add(x, i, u) }
---
kernel f_0_nest(B in 1..=2147483647; inout y4: f32[6, 4], in x1: f32[6, 4], in x2: i64[B], in x3: f32[B, 4]) {
  stage copy(i0 < 6) {
    for i1 in 0..4 vector 8 tail mask {
      let v1 = x1[i0, i1]
      y4[i0, i1] = v1
    }
  }
  stage add(c < 1) {
    let lo = c * 64
    let hi = min(4, lo + 64)
    for i0 in 0..B {
      let v2 = x2[i0]
      let i = idx(v2)
      let inside = i >= 0 && i < 6
      fail 1 if !inside
      if inside {
        for j in lo..hi vector 16 tail mask {
          let v3 = x3[i0, j]
          y4[i, j] = y4[i, j] + v3
        }
      }
    }
  }
}

