// throttled(work, pause) calls `work` at once, and however often it is asked for in the milliseconds
// after, once more when they are over.
"use strict";

globalThis.throttled = (work, pause) => {
  let isWanted = false;
  let isResting = false;

  return function call() {
    isWanted = true;
    if (isResting) return;
    isWanted = false;
    isResting = true;
    setTimeout(() => {
      isResting = false;
      if (isWanted) call();
    }, pause());
    work();
  };
};
