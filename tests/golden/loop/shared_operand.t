# What a long statement uses twice stays one let.
kernel k(; in x: f32[8], out y: f32[8]) {
  stage main(i < 8) {
    let a = exp(x[i])
    y[i] = a * a + a
  }
}
---
kernel k(; in x: f32[8], out y: f32[8]) {
  stage main(i < 8) {
    let a = exp(x[i])
    y[i] = a * a + a
  }
}
