/** The state of a `<video>` and what its controls do. */
import { computed, onBeforeUnmount, ref, type Ref } from "vue";

/** Only one video sounds at a time. */
let current: HTMLVideoElement | null = null;

export function usePlayer(video: Ref<HTMLVideoElement | null>, box: Ref<HTMLElement | null>) {
  const playing = ref(false);
  const waiting = ref(false);
  /** Was ever played: from then on the controls are there. */
  const started = ref(false);
  const muted = ref(false);
  const time = ref(0);
  const length = ref(0);
  const share = computed(() => (length.value ? time.value / length.value : 0));

  async function play(): Promise<void> {
    const element = video.value;
    if (!element) return;
    if (current && current !== element) current.pause();
    current = element;
    started.value = true;
    // A browser may refuse sound before the reader has touched the page.
    await element.play().catch(async () => {
      element.muted = true;
      await element.play().catch(() => undefined);
    });
  }

  function toggle(): void {
    if (playing.value) video.value?.pause();
    else void play();
  }

  function seek(seconds: number): void {
    if (video.value) video.value.currentTime = Math.min(Math.max(0, seconds), length.value || 0);
  }

  function toggleMuted(): void {
    if (video.value) video.value.muted = !video.value.muted;
  }

  function fullscreen(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void box.value?.requestFullscreen?.().catch(() => undefined);
  }

  /** Listeners for the `<video>`. */
  const listeners = {
    play: () => (playing.value = true),
    pause: () => (playing.value = false),
    waiting: () => (waiting.value = true),
    playing: () => (waiting.value = false),
    volumechange: () => (muted.value = video.value?.muted ?? false),
    timeupdate: () => (time.value = video.value?.currentTime ?? 0),
    seeking: () => (time.value = video.value?.currentTime ?? 0),
    loadedmetadata: () => (length.value = video.value?.duration ?? 0),
    durationchange: () =>
      (length.value = Number.isFinite(video.value?.duration) ? (video.value?.duration ?? 0) : 0),
  };

  onBeforeUnmount(() => {
    if (current === video.value) current = null;
  });

  return {
    playing,
    waiting,
    started,
    muted,
    time,
    length,
    share,
    play,
    toggle,
    seek,
    toggleMuted,
    fullscreen,
    listeners,
  };
}
