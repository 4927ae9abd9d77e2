/** The cameras' frusta as lines for WebGL; the marked one in another colour. */
import { BufferAttribute, BufferGeometry, GLSL3, LineSegments, RawShaderMaterial } from 'three';
import type { FrustaShape } from '../core/frusta';

const VERTEX = /* glsl */ `
precision highp float;
uniform mat4 viewMatrix;
uniform mat4 projectionMatrix;
uniform float marked;
in vec3 position;
in float index;
flat out vec3 shade;
void main() {
  gl_Position = projectionMatrix * (viewMatrix * vec4(position, 1.0));
  shade = index == marked ? vec3(1.0, 0.72, 0.2) : vec3(0.36, 0.66, 1.0);
}
`;
const FRAGMENT = /* glsl */ `
precision mediump float;
flat in vec3 shade;
out vec4 pixel;
void main() { pixel = vec4(shade, 1.0); }
`;

export class FrustaLines {
  readonly object: LineSegments<BufferGeometry, RawShaderMaterial>;
  private readonly marked = { value: -1 };

  constructor() {
    const material = new RawShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      uniforms: { marked: this.marked },
      depthWrite: false,
    });
    this.object = new LineSegments(new BufferGeometry(), material);
    this.object.frustumCulled = false;
    this.object.matrixAutoUpdate = false;
  }

  show(shape: FrustaShape): void {
    this.object.geometry.dispose();
    this.object.geometry = new BufferGeometry()
      .setAttribute('position', new BufferAttribute(shape.positions, 3))
      .setAttribute('index', new BufferAttribute(shape.indices, 1));
  }

  mark(index: number): void {
    this.marked.value = index;
  }

  dispose(): void {
    this.object.geometry.dispose();
    this.object.material.dispose();
  }
}
