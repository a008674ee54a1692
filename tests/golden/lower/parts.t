# Few columns of many rows: parts of the rows, one task each, then their sum in order.
entry f(x: f32[B, 10]) -> f32[10] where B <= 20000 { sum(x, 0) * 2 }
---
kernel f_0_reduce(B in 1..=20000; inout parts: f32[32, 10], in x1: f32[B, 10], out y4: f32[10]) {
  stage partial(p < ((B + max(((B + 31) // 32), 3276) - 1) // max(((B + 31) // 32), 3276)), c < 1) {
    for j in c * 64..min(10, c * 64 + 64) vector 16 tail mask {
      reg acc: f32x16 = 0.0
      let rows = max((B + 31) // 32, 3276)
      let lo = p * rows
      let hi = min(B, lo + rows)
      for i0 in lo..hi {
        let v1 = x1[i0, j]
        acc = acc + v1
      }
      parts[p, j] = acc
    }
  }
  stage combine(c < 1) {
    for j in c * 64..min(10, c * 64 + 64) vector 16 tail mask {
      reg acc: f32x16 = 0.0
      for p in 0..(B + max((B + 31) // 32, 3276) - 1) // max((B + 31) // 32, 3276) {
        acc = acc + parts[p, j]
      }
      let sum = acc
      let v4 = sum * 2.0
      y4[j] = v4
    }
  }
}

