# A scatter adds in order, on one thread.
entry f(x: f32[6, 4], i: i64[B], u: f32[B, 4]) -> f32[6, 4] { index_add(x, i, u) }
---
kernel f_0_nest(B in 1..=2147483647; inout y4: f32[6, 4], in x1: f32[6, 4], in x2: i64[B], in x3: f32[B, 4]) {
  stage copy(i0 < 6) {
    for i1 in 0..4 vector 8 tail mask {
      let v1 = x1[i0, i1]
      y4[i0, i1] = v1
    }
  }
  stage add(t < 1) {
    for i0 in 0..B {
      for i1 in 0..4 {
        let v2 = x2[i0]
        let i = idx(v2)
        let inside = i >= 0 && i < 6
        fail 1 if !inside
        let v3 = x3[i0, i1]
        if inside {
          y4[i, i1] = y4[i, i1] + v3
        }
      }
    }
  }
}

