# A row that is spread: rows are tasks, the last axis is the vector.
entry f(x: f32[M, N], a: f32[N], b: f32[M]) -> f32[M, N] { x * a + b[:, none] }
---
kernel f_0_elementwise(M in 1..=2147483647, N in 1..=2147483647; in x2: f32[N], in x1: f32[M, N], in x3: f32[M], out y7: f32[M, N]) {
  stage main(i0 < M) {
    for j in 0..N vector 16 tail mask {
      let v2 = x2[j]
      let v1 = x1[i0, j]
      let v5 = v2 * v1
      let v3 = x3[i0]
      let v7 = v5 + v3
      y7[i0, j] = v7
    }
  }
}

