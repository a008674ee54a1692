# Each part of a concatenation is a stage.
entry f(x: f32[M, 4], y: f32[M, 3]) -> f32[M, 7] { concat([x, y], 1) }
---
kernel f_0_nest(M in 1..=2147483647; in x1: f32[M, 4], out y3: f32[M, 7], in x2: f32[M, 3]) {
  stage part0(i0 < M) {
    for i1 in 0..4 vector 16 tail mask {
      let v1 = x1[i0, i1]
      y3[i0, i1] = v1
    }
  }
  stage part1(i0 < M) {
    for i1 in 0..3 vector 16 tail mask {
      let v2 = x2[i0, i1]
      y3[i0, 4 + i1] = v2
    }
  }
}

