# The last two axes are walked as one where what lacks them is broadcast as a whole, whatever becomes of the axes before.
entry f(x: f32[B, 3, 4, 5], s: f32[3]) -> (f32[3], f32[3, B, 4, 5]) { (sum(x * x, [0, 2, 3]) + s, (x * s.reshape([3, 1, 1])).transpose(0, 1)) }
---
kernel f_0_reduce(B in 1..=2147483647; inout parts: f32[10, 3], in x1: f32[B, 3, 20], in x2: f32[3], out y5: f32[3]) {
  stage partial(p < ((B + max(((B + 9) // 10), 546) - 1) // max(((B + 9) // 10), 546)), i1 < 3) {
    reg acc: f32x16 = 0.0
    let rows = max((B + 9) // 10, 546)
    let lo = p * rows
    let hi = min(B, lo + rows)
    for i0 in lo..hi {
      for j in 0..20 vector 16 tail mask {
        let v1 = x1[i0, i1, j]
        let v3 = v1 * v1
        acc = acc + v3
      }
    }
    parts[p, i1] = hadd(acc)
  }
  stage combine(i1 < 3) {
    reg acc: f32 = 0.0
    for p in 0..(B + max((B + 9) // 10, 546) - 1) // max((B + 9) // 10, 546) {
      acc = acc + parts[p, i1]
    }
    let sum = acc
    let v2 = x2[i1]
    let v5 = sum + v2
    y5[i1] = v5
  }
}

kernel f_1_elementwise(B in 1..=2147483647; in x2: f32[3], in x1: f32[B, 3, 20], out y7: f32[B, 3, 20]) {
  stage main(i0 < B, i1 < 3) {
    for j in 0..20 vector 16 tail mask {
      let v2 = x2[i1]
      let v1 = x1[i0, i1, j]
      let v7 = v2 * v1
      y7[i0, i1, j] = v7
    }
  }
}

kernel f_2_elementwise(B in 1..=2147483647; in v7: f32[B, 3, 20], out y8: f32[3, B, 20]) {
  stage main(i0 < 3, i1 < B) {
    for j in 0..20 vector 16 tail mask {
      let v7_2 = v7[i1, i0, j]
      let v8 = v7_2
      y8[i0, i1, j] = v8
    }
  }
}

