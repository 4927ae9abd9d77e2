/** Plain three.js and 3d-tiles-renderer on the element's files: for tests, and as peers to measure. */
import {
  type Object3D,
  PerspectiveCamera,
  Points,
  PointsMaterial,
  Scene,
  WebGLRenderer,
} from 'three';
import { MeshoptDecoder } from 'three/addons/libs/meshopt_decoder.module.js';
import { DRACOLoader } from 'three/addons/loaders/DRACOLoader.js';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
import { TilesRenderer } from '3d-tiles-renderer/three';
import { GLTFExtensionsPlugin } from '3d-tiles-renderer/three/plugins';

const WIDTH = 1280;
const HEIGHT = 720;

interface GlbFacts {
  readonly points: number;
  readonly attributes: readonly string[];
}

class Peer {
  readonly scene = new Scene();
  readonly camera = new PerspectiveCamera(55, WIDTH / HEIGHT, 0.05, 100);
  private readonly renderer = new WebGLRenderer({ antialias: false, preserveDrawingBuffer: true });
  private readonly loader = new GLTFLoader()
    .setMeshoptDecoder(MeshoptDecoder)
    .setDRACOLoader(new DRACOLoader());
  private readonly material = new PointsMaterial({ size: 2, sizeAttenuation: false, vertexColors: true }); // prettier-ignore
  private tiles: TilesRenderer | undefined;
  private errors: string[] = [];

  constructor() {
    this.renderer.setSize(WIDTH, HEIGHT);
    document.body.append(this.renderer.domElement);
  }

  /** Show a GLB as GLTFLoader gives it. */
  async glb(url: string): Promise<GlbFacts> {
    const { scene } = await this.loader.loadAsync(url);
    let points = 0;
    let attributes: string[] = [];
    scene.traverse((object) => {
      const cloud = this.take(object);
      if (cloud === undefined) return;
      points += countOf(cloud);
      attributes = Object.keys(cloud.geometry.attributes);
    });
    this.scene.add(scene);
    return { points, attributes };
  }

  /** Open a tileset; `tick` drives it. */
  tileset(url: string, errorTarget: number): void {
    const tiles = new TilesRenderer(url);
    tiles.registerPlugin(new GLTFExtensionsPlugin({ meshoptDecoder: MeshoptDecoder }));
    tiles.errorTarget = errorTarget;
    tiles.group.rotation.x = -Math.PI / 2;
    tiles.setCamera(this.camera);
    tiles.setResolution(this.camera, WIDTH, HEIGHT);
    tiles.addEventListener('load-model', ({ scene }) => {
      scene.traverse((object: Object3D) => this.take(object));
    });
    tiles.addEventListener('load-error', ({ error }) => this.errors.push(error.message));
    this.scene.add(tiles.group);
    this.tiles = tiles;
  }

  look(eye: [number, number, number], target: [number, number, number]): void {
    this.camera.position.set(...eye);
    this.camera.lookAt(...target);
    this.camera.updateMatrixWorld();
  }

  /** Let the tileset choose and load; return what it has. */
  tick(): { points: number; isLoading: boolean; errors: string[] } {
    this.tiles?.group.updateMatrixWorld(true);
    this.tiles?.update();
    let points = 0;
    this.scene.traverseVisible((object) => {
      if (object instanceof Points) points += countOf(object as Points);
    });
    const { loadProgress } = (this.tiles ?? { loadProgress: 1 }) as { loadProgress: number };
    return { points, isLoading: loadProgress < 1, errors: this.errors };
  }

  /** Draw and wait for the pixels; return milliseconds. */
  frame(): number {
    const begin = performance.now();
    this.renderer.render(this.scene, this.camera);
    const gl = this.renderer.getContext();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    return performance.now() - begin;
  }

  private take(object: Object3D): Points | undefined {
    if (!(object instanceof Points)) return undefined;
    object.material = this.material;
    object.frustumCulled = this.tiles !== undefined;
    return object as Points;
  }
}

function countOf(cloud: Points): number {
  return cloud.geometry.attributes.position?.count ?? 0;
}

declare global {
  interface Window {
    peer: Peer;
  }
}
window.peer = new Peer();
