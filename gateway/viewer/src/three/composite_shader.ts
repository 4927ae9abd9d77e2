/**
 * The pass from the points' picture to the canvas, with eye-dome lighting: pixels behind their
 * neighbours darken, by the logarithm of the ratio of depths.
 *
 * Source: Boucheny, Interactive scientific visualization of large datasets (thesis), 2009.
 */

export const FULL_SCREEN_VERTEX = /* glsl */ `
void main() {
  vec2 place = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2);
  gl_Position = vec4(place * 2.0 - 1.0, 0.0, 1.0);
}
`;

export const COMPOSITE_FRAGMENT = /* glsl */ `
precision highp float;
precision highp sampler2D;
uniform sampler2D picture;
uniform sampler2D depths;
uniform vec2 range; // near, far
uniform float strength;
uniform int radius;
out vec4 pixel;

const float HOLE = 0.02;    // octaves of depth between a surface and what is seen through it
const float MOST = 0.06;    // octaves of depth that one neighbour may count
const float DARKEST = 0.45;

float logDepth(ivec2 at) {
  float depth = texelFetch(depths, at, 0).r;
  return log2(range.x * range.y / (range.y - depth * (range.y - range.x)));
}

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  ivec2 last = textureSize(depths, 0) - 1;
  pixel = texelFetch(picture, at, 0);
  float own = pixel.a == 0.0 ? 1e3 : logDepth(at);
  float sum = 0.0;
  bvec4 nearer = bvec4(false);
  vec4 around = vec4(0.0);
  for (int i = 0; i < 4; i++) {
    ivec2 side = (i < 2 ? ivec2(radius, 0) : ivec2(0, radius)) * (1 - 2 * (i & 1));
    ivec2 there = clamp(at + side, ivec2(0), last);
    float behind = max(0.0, own - logDepth(there));
    sum += min(behind, MOST);
    nearer[i] = behind > HOLE && texelFetch(depths, there, 0).r < 1.0;
    if (nearer[i]) around += texelFetch(picture, there, 0);
  }
  // A pixel that looks through a crack between points takes the colour of what surrounds it.
  bool isCrack = (nearer[0] && nearer[1]) || (nearer[2] && nearer[3]);
  if (isCrack) pixel = vec4(around.rgb / around.a, 1.0);
  else pixel.rgb *= max(exp2(-sum * strength), DARKEST);
}
`;

/** Writes the depths around a pixel as three bytes, so that a page can read them. */
export const PICK_FRAGMENT = /* glsl */ `
precision highp float;
precision highp sampler2D;
uniform sampler2D picture;
uniform sampler2D depths;
uniform ivec2 corner;
out vec4 pixel;

void main() {
  ivec2 at = corner + ivec2(gl_FragCoord.xy);
  ivec2 size = textureSize(depths, 0);
  bool inside = all(greaterThanEqual(at, ivec2(0))) && all(lessThan(at, size));
  float depth = inside ? texelFetch(depths, at, 0).r : 1.0;
  if (inside && texelFetch(picture, at, 0).a == 0.0) depth = 1.0;
  vec3 packed = fract(depth * vec3(1.0, 255.0, 65025.0));
  packed -= packed.yzz * vec3(1.0 / 255.0, 1.0 / 255.0, 0.0);
  pixel = depth >= 1.0 ? vec4(1.0) : vec4(packed, 0.0);
}
`;
