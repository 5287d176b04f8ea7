// Runs in every page before its own scripts, and keeps an eye on the page's
// RTCPeerConnections. The driver's `calls` action asks window.observed.
'use strict';

(() => {
  const Native = window.RTCPeerConnection;
  const made = [];

  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      const seen = { pc: this, candidates: [], errors: [], born: Date.now(),
        gathered: null };
      made.push(seen);
      this.addEventListener('icecandidate', ({ candidate }) => {
        if (candidate && candidate.candidate) {
          seen.candidates.push(candidate.candidate);
        }
      });
      this.addEventListener('icecandidateerror', (e) => {
        seen.errors.push({ code: e.errorCode, text: e.errorText, url: e.url,
          ms: Date.now() - seen.born });
      });
      this.addEventListener('icegatheringstatechange', () => {
        if (this.iceGatheringState === 'complete') {
          seen.gathered = Date.now() - seen.born;
        }
      });
    }
  };

  async function report({ pc, candidates, errors, gathered }) {
    const stats = new Map(await pc.getStats());
    const of = (type, test = () => true) =>
      [...stats.values()].find((s) => s.type === type && test(s)) || {};
    const pair = stats.get(of('transport').selectedCandidatePairId) || {};
    return {
      state: pc.connectionState, gathering: pc.iceGatheringState,
      candidates, errors, gathered,
      local: stats.get(pair.localCandidateId) || null,
      remote: stats.get(pair.remoteCandidateId) || null,
      framesDecoded: of('inbound-rtp', (s) => s.kind === 'video')
        .framesDecoded || 0,
      framesSent: of('outbound-rtp', (s) => s.kind === 'video')
        .framesSent || 0,
    };
  }

  window.observed = { calls: () => Promise.all(made.map(report)) };
})();
