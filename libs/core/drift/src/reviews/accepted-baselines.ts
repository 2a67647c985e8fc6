/**
 * Baselines of a device's cameras that people accepted: a camera of an accepted verdict learns anew from its first window after the
 * review. Until it is compared again it keeps the baseline before, which a withdrawal restores.
 *
 * A1. The state has the review that it contains, so each is applied once, whoever holds the state and however often the review was
 *     sent. Windows from before it belong to the baseline before. */
import type { Instant } from "@tributary/kernel";
import { CameraWatch } from "../camera-watch.ts";
import type { StateReader, StateWriter } from "../state-bytes.ts";
import { type AppliedReview, type CameraReview, isNews } from "./drift-reviews.ts";

type Applied = AppliedReview & { readonly before: CameraWatch | null };

export class AcceptedBaselines {
  readonly #applied = new Map<string, Applied>();

  /** Undefined: none. */
  applied(cameraId: string): AppliedReview | undefined {
    const applied = this.#applied.get(cameraId);
    return applied && { offset: applied.offset, reviewId: applied.reviewId };
  }

  /** The camera that the window which ended then is to be folded into. */
  watchOf(camera: CameraWatch, endedAt: Instant, review: CameraReview | undefined): CameraWatch {
    const { cameraId } = camera;
    const applied = this.#applied.get(cameraId);
    if (review === undefined || !isNews(review, applied) || endedAt <= review.at) return camera; // A1
    const { offset, reviewId, kind } = review;
    const before = kind === "ACCEPT" && camera.findings().isCompared ? camera : null;
    this.#applied.set(cameraId, { offset, reviewId, before });
    return kind === "ACCEPT" ? new CameraWatch(cameraId) : (applied?.before ?? camera);
  }

  /** A window was folded: once the camera is compared again, the baseline before is dropped. */
  folded(camera: CameraWatch): void {
    const applied = this.#applied.get(camera.cameraId);
    if (applied?.before == null || !camera.findings().isCompared) return;
    this.#applied.set(camera.cameraId, { ...applied, before: null });
  }

  /** Of cameras that are gone nothing is kept. */
  keep(cameras: ReadonlyMap<string, CameraWatch>): void {
    for (const cameraId of this.#applied.keys()) if (!cameras.has(cameraId)) this.#applied.delete(cameraId);
  }

  write(to: StateWriter): void {
    to.u8(this.#applied.size);
    for (const [cameraId, { offset, reviewId, before }] of this.#applied) {
      to.text(cameraId);
      to.i64(offset);
      to.text(reviewId);
      to.u8(before === null ? 0 : 1);
      before?.write(to);
    }
  }

  static read(from: StateReader, camerasMax: number): AcceptedBaselines {
    const accepted = new AcceptedBaselines();
    for (let left = from.u8(camerasMax); left > 0; left--) {
      const cameraId = from.text(64);
      const [offset, reviewId] = [from.i64(), from.text(64)];
      accepted.#applied.set(cameraId, { offset, reviewId, before: from.u8(1) === 0 ? null : CameraWatch.read(from) });
    }
    return accepted;
  }
}
