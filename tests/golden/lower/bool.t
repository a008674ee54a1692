# Bools have no masks on v3: the tail is peeled.
# level: v3
entry f(x: f32[N], y: f32[N]) -> bool[N] { x < y }
---
kernel f_0_elementwise(N in 1..=2147483647; in x1: f32[N], in x2: f32[N], out y3: bool[N]) {
  stage main(t < ((N + 4095) // 4096)) {
    for j in t * 4096..min(N, t * 4096 + 4096) vector 8 tail peel {
      let v1 = x1[j]
      let v2 = x2[j]
      let v3 = v1 < v2
      y3[j] = v3
    }
  }
}

