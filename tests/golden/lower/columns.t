# A sum over the first axis: lanes are columns.
entry f(x: f32[B, N]) -> f32[N] { sum(x * x, 0) }
---
kernel f_0_reduce(B in 1..=2147483647, N in 1..=2147483647; in x1: f32[B, N], out y3: f32[N]) {
  stage main(c < ((N + 63) // 64)) {
    for j in c * 64..min(N, c * 64 + 64) vector 16 tail mask {
      reg acc: f32x16 = 0.0
      for i0 in 0..B {
        let v1 = x1[i0, j]
        let v2 = v1 * v1
        acc = acc + v2
      }
      let sum = acc
      y3[j] = sum
    }
  }
}

