# A vector of windows at a time; its gradient where windows do not meet.
entry f(x: f32[B, 2, 10, 10]) -> (f32[B, 2, 5, 5], f32[B, 2, 10, 10]) { y = max_pool(x, 2); (y, grad(sum(y * y), x)) }
---
kernel f_0_nest(B in 1..=2147483647; in x1: f32[B, 2, 10, 10], out y2: f32[B, 2, 5, 5]) {
  stage main(i0 < B, i1 < 2, i2 < 5) {
    for i3 in 0..5 vector 8 tail mask {
      reg acc: f32x8 = -inf
      for k2 in 0..2 unroll {
        for k3 in 0..2 unroll {
          let v1 = x1[i0, i1, i2 * 2 + k2, i3 * 2 + k3]
          acc = max(acc, v1)
        }
      }
      y2[i0, i1, i2, i3] = acc
    }
  }
}

kernel f_1_elementwise(B in 1..=2147483647; in v2: f32[50 * B], out y3: f32[50 * B]) {
  stage main(t < ((50 * B + 4095) // 4096)) {
    for j in t * 4096..min(50 * B, t * 4096 + 4096) vector 16 tail mask {
      let v2_2 = v2[j]
      let v3 = v2_2 + v2_2
      y3[j] = v3
    }
  }
}

kernel f_2_nest(B in 1..=2147483647; inout y4: f32[B, 2, 10, 10], in x1: f32[B, 2, 10, 10], in v3: f32[B, 2, 5, 5]) {
  stage add(i0 < B, i1 < 2, i2 < 5) {
    for i3 in 0..5 vector 8 tail mask {
      reg best: f32x8 = 0.0
      reg first: i32x8 = -1
      for k2 in 0..2 unroll {
        for k3 in 0..2 unroll {
          let v1 = x1[i0, i1, i2 * 2 + k2, i3 * 2 + k3]
          let win = v1 > best || is_nan(v1) && !is_nan(best) || first < 0
          first = select(win, i32(k2 * 2 + k3), first)
          best = select(win, v1, best)
        }
      }
      let v3_2 = v3[i0, i1, i2, i3]
      for k2 in 0..2 unroll {
        for k3 in 0..2 unroll {
          y4[i0, i1, i2 * 2 + k2, i3 * 2 + k3] = select(first == i32(k2 * 2 + k3), v3_2 + 0.0, 0.0)
        }
      }
    }
  }
}

