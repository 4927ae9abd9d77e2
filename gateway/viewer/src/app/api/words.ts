/** What each error reason is called in words, and the way out of it. */
import { ErrorReason } from '../../gen/epipar/common/v1/error_reason_pb';

/** One reason for a person: a headline, and what to do about it. */
export interface Words {
  readonly title: string;
  readonly wayOut: string;
}

const say = (title: string, wayOut: string): Words => ({ title, wayOut });

/** Words for every value of ErrorReason; a test holds it complete. */
export const REASON_WORDS: Readonly<Record<ErrorReason, Words>> = {
  [ErrorReason.UNSPECIFIED]: say(
    'Something went wrong',
    'Try again. If it happens again, look into the log of the service.',
  ),
  [ErrorReason.BAD_REQUEST]: say(
    'A value was not accepted',
    'Correct the value that is named below, then try again.',
  ),
  [ErrorReason.BAD_URI]: say(
    'That is not a place in the store',
    'Use a plain path such as “scenes/kitchen”.',
  ),
  [ErrorReason.ENGINE_UNKNOWN]: say(
    'That engine is not installed',
    'Choose one of the installed engines, or ask the operator to install it.',
  ),
  [ErrorReason.CODEC_UNKNOWN]: say(
    'That compression does not exist',
    'Choose meshopt, Draco or none.',
  ),
  [ErrorReason.BAD_BITS]: say('That precision is not possible', 'Choose 8 to 16 bits.'),
  [ErrorReason.BAD_OPTION]: say(
    'Two settings do not fit, or one is out of its range',
    'Correct the setting that is named below, or go back to the defaults.',
  ),
  [ErrorReason.UNREADABLE_VIDEO]: say(
    'The video cannot be read',
    'Play it on this device to see whether it is whole. If it plays, save it as MP4 (H.264) and upload that.',
  ),
  [ErrorReason.UNREADABLE_IMAGE]: say(
    'A photo cannot be read',
    'Open the photo that is named below. Leave it out, or export it again as JPEG or PNG.',
  ),
  [ErrorReason.IMAGE_TOO_LARGE]: say(
    'The pictures have too many pixels',
    'Scale them down, for example to 4000 pixels on the longer side.',
  ),
  [ErrorReason.IMAGE_TOO_SMALL]: say(
    'The pictures are too small',
    'Film at 640 × 480 or more; 1920 × 1080 is good.',
  ),
  [ErrorReason.MIXED_SIZES]: say(
    'The photos have different sizes',
    'Use photos of one camera, all upright or all sideways, none of them cropped.',
  ),
  [ErrorReason.TOO_FEW_FRAMES]: say(
    'There are too few pictures',
    'Film for ten seconds or more, or take at least ten photos that overlap.',
  ),
  [ErrorReason.TOO_MANY_FRAMES]: say(
    'There are too many pictures',
    'Split them into several scenes.',
  ),
  [ErrorReason.NO_PARALLAX]: say(
    'The camera did not move enough',
    'Film again while you walk: depth comes from moving the camera sideways, not from turning it.',
  ),
  [ErrorReason.SPLIT_MODEL]: say(
    'The film falls into parts that do not connect',
    'Film again slowly, without cuts and jumps, so that each picture overlaps the one before. Plain walls need something with texture in view.',
  ),
  [ErrorReason.INPUT_TOO_LARGE]: say('The input is too large', 'Use a shorter or smaller video.'),
  [ErrorReason.NOT_FOUND]: say(
    'It is not there',
    'It may have been deleted. Go back to the list and choose again.',
  ),
  [ErrorReason.SCENE_INCOMPLETE]: say(
    'The scene is not finished yet',
    'Wait until its reconstruction has ended, then try again.',
  ),
  [ErrorReason.SCENE_EMPTY]: say(
    'No depth was found anywhere in the scene',
    'Film again in better light, with textured things in view.',
  ),
  [ErrorReason.OUTPUT_EXISTS]: say(
    'That name is taken',
    'Choose another name, or delete the old one first.',
  ),
  [ErrorReason.OUTPUT_BUSY]: say(
    'Another job is writing there now',
    'Wait until it has ended, then try again.',
  ),
  [ErrorReason.TOO_MANY_REQUESTS]: say('The server is busy', 'Wait a moment, then try again.'),
  [ErrorReason.MESSAGE_TOO_LARGE]: say(
    'The request is too large',
    'Send less at once; upload videos and photos as files.',
  ),
  [ErrorReason.OUT_OF_MEMORY]: say(
    'The machine ran out of memory',
    'Try again with fewer frames or a smaller picture size, or on a larger machine.',
  ),
  [ErrorReason.DISK_FULL]: say(
    'The disk of the server is full',
    'Delete scenes that you no longer need, then try again.',
  ),
  [ErrorReason.ENGINE_UNAVAILABLE]: say(
    'The engine cannot run now',
    'Try again in a minute. If it stays away, ask the operator, or choose another engine.',
  ),
  [ErrorReason.WEIGHTS_MISSING]: say(
    'The model is not on the server',
    'Ask the operator to fetch it, or choose another engine.',
  ),
  [ErrorReason.LICENCE_NOT_ACCEPTED]: say(
    'The licence of the model must be accepted first',
    'Ask the operator to accept it by name, or choose another model.',
  ),
  [ErrorReason.CORRUPT_ARTIFACT]: say(
    'A stored file is damaged',
    'Delete what it belongs to and make it again.',
  ),
  [ErrorReason.DEADLINE_EXCEEDED]: say(
    'It took too long',
    'What is finished is kept: try again, and it goes on from there.',
  ),
  [ErrorReason.CANCELLED]: say(
    'It was cancelled',
    'What is finished is kept: start it again, and it goes on from there.',
  ),
  [ErrorReason.UNAUTHENTICATED]: say('You are not signed in', 'Sign in, then reload this page.'),
  [ErrorReason.FORBIDDEN]: say(
    'You may not do this',
    'Ask the owner of the scene, or sign in as somebody else.',
  ),
  [ErrorReason.JOB_FINISHED]: say('The job has already ended', 'There is nothing left to cancel.'),
  [ErrorReason.REQUEST_ID_REUSED]: say(
    'The request was sent before with other content',
    'Reload this page and try again.',
  ),
  [ErrorReason.INTERNAL]: say(
    'The service failed',
    'Try again. If it happens again, look into its log: it has the trace.',
  ),
  [ErrorReason.WORKER_DIED]: say(
    'The process that did the work ended without a word',
    'Try again: it goes on from its finished parts. If it happens again, the machine may lack memory.',
  ),
  [ErrorReason.STORE_UNAVAILABLE]: say(
    'The store cannot be reached',
    'Try again in a minute. If it stays away, ask the operator.',
  ),
};

/** Words for what never reached a service: refused on the way, or no way at all. */
export const WAY_WORDS = {
  OFFLINE: say(
    'This device is offline',
    'Nothing is lost: everything goes on as soon as the network is back.',
  ),
  SERVER_AWAY: say(
    'The server does not answer',
    'Nothing is lost: jobs go on by themselves, and this page tries again until the server is back.',
  ),
  BROKEN_SCENE: say(
    'The scene cannot be shown',
    'Its files may be missing or damaged. Make a new export, or reload this page.',
  ),
  UPLOAD_TYPE: say(
    'That kind of file cannot become a scene',
    'Use a video (MP4, MOV, M4V, MKV, WebM, AVI), photos (JPEG, PNG, WebP) or a ZIP of photos.',
  ),
  UPLOAD_EMPTY: say('The file is empty', 'Choose another file, or copy it to this device first.'),
  UPLOAD_CHANGED: say(
    'The file does not arrive as it was sent',
    'It may have changed while it was sent. Upload it again.',
  ),
  UPLOAD_GONE: say(
    'The server no longer has the first part of this upload',
    'It waited too long. Upload the file again from the start.',
  ),
} as const satisfies Record<string, Words>;

export type WayReason = keyof typeof WAY_WORDS;
export type ReasonName = keyof typeof ErrorReason | WayReason;

/** Turn the text of a reason, as a service writes it, into one that we have words for. */
export function reasonNameOf(text: string): ReasonName {
  const name = text.replace(/^ERROR_REASON_/, '');
  if (name in WAY_WORDS) return name as WayReason;
  return typeof ErrorReason[name as keyof typeof ErrorReason] === 'number'
    ? (name as keyof typeof ErrorReason)
    : 'UNSPECIFIED';
}

/** Return the words of a reason by name. */
export function wordsOf(name: ReasonName): Words {
  return name in WAY_WORDS
    ? WAY_WORDS[name as WayReason]
    : REASON_WORDS[ErrorReason[name as keyof typeof ErrorReason]];
}
