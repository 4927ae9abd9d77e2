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

const float HOLE = 0.014;    // share of depth between a surface and what is seen through it
const float MOST = 0.042;    // share of depth that one neighbour may count
const float DARKEST = 0.45;

/** 1 / distance, up to a factor. */
float nearness(ivec2 at) {
  return range.y - texelFetch(depths, at, 0).r * (range.y - range.x);
}

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  ivec2 last = textureSize(depths, 0) - 1;
  vec4 beside = vec4(
    nearness(ivec2(max(at.x - radius, 0), at.y)),
    nearness(ivec2(min(at.x + radius, last.x), at.y)),
    nearness(ivec2(at.x, max(at.y - radius, 0))),
    nearness(ivec2(at.x, min(at.y + radius, last.y))));
  pixel = texelFetch(picture, at, 0);
  // The background counts as far away; what is beside it is no nearer than the far plane then.
  float own = pixel.a == 0.0 ? range.x * 0.5 : nearness(at);
  vec4 behind = clamp(beside / own - 1.0, 0.0, MOST);
  bvec4 nearer = greaterThan(behind * step(range.x * 1.001, beside), vec4(HOLE));
  // A pixel that looks through a crack between points takes the colour of what surrounds it.
  if ((nearer.x && nearer.y) || (nearer.z && nearer.w)) {
    ivec2 side = nearer.x && nearer.y ? ivec2(radius, 0) : ivec2(0, radius);
    pixel = 0.5 * (texelFetch(picture, at + side, 0) + texelFetch(picture, at - side, 0));
  } else {
    pixel.rgb *= max(1.0 - dot(behind, vec4(strength)), DARKEST);
  }
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
