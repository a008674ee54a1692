# One line of elements in tasks of 4096: every level has its width and its tail.
# level: v2 v3 v4
entry f(x: f32[M, N], y: f32[M, N]) -> f32[M, N] { x * y + 1 }
---
# v2
kernel f_0_elementwise(M in 1..=2147483647, N in 1..=2147483647; in x1: f32[M * N], in x2: f32[M * N], out y5: f32[M * N]) {
  stage main(t < ((M * N + 4095) // 4096)) {
    for j in t * 4096..min(M * N, t * 4096 + 4096) vector 4 tail peel {
      let v1 = x1[j]
      let v2 = x2[j]
      let v3 = v1 * v2
      let v5 = v3 + 1.0
      y5[j] = v5
    }
  }
}

# v3
kernel f_0_elementwise(M in 1..=2147483647, N in 1..=2147483647; in x1: f32[M * N], in x2: f32[M * N], out y5: f32[M * N]) {
  stage main(t < ((M * N + 4095) // 4096)) {
    for j in t * 4096..min(M * N, t * 4096 + 4096) vector 8 tail mask {
      let v1 = x1[j]
      let v2 = x2[j]
      let v3 = v1 * v2
      let v5 = v3 + 1.0
      y5[j] = v5
    }
  }
}

# v4
kernel f_0_elementwise(M in 1..=2147483647, N in 1..=2147483647; in x1: f32[M * N], in x2: f32[M * N], out y5: f32[M * N]) {
  stage main(t < ((M * N + 4095) // 4096)) {
    for j in t * 4096..min(M * N, t * 4096 + 4096) vector 16 tail mask {
      let v1 = x1[j]
      let v2 = x2[j]
      let v3 = v1 * v2
      let v5 = v3 + 1.0
      y5[j] = v5
    }
  }
}

