// The call itself: the WebSocket, one RTCPeerConnection for each other
// participant, and what the guest sees of both. Whoever arrives offers to
// those who are there.
const $ = (id) => document.getElementById(id);
const camera = { width: 640, height: 360, frameRate: 15 };

export class Call {
  constructor(joined) {
    this.joined = joined;
    this.peers = new Map();      // id -> { who, pc, tile }
    this.media = null;
  }

  async start() {
    this.trouble('');
    this.state('Connecting…');
    this.media = await navigator.mediaDevices.getUserMedia(
      { audio: true, video: camera });
    $('self').srcObject = this.media;
    this.toggle('mute', this.media.getAudioTracks(), 'Mute', 'Unmute');
    this.toggle('camera', this.media.getVideoTracks(), 'Camera off',
      'Camera on');

    const url = new URL(this.joined.signalling, location.href);
    url.protocol = 'wss:';
    this.ws = new WebSocket(url);
    this.ws.onmessage = (event) => this.hear(JSON.parse(event.data));
    this.ws.onclose = () => this.lost('The connection to the meeting ended.');
  }

  stop() {
    this.stopped = true;
    this.ws.close();
    [...this.peers.keys()].forEach((id) => this.remove(id));
    this.media.getTracks().forEach((track) => track.stop());
  }

  hear(message) {
    if (message.type === 'hello') {
      this.enter(message);
    } else if (message.type === 'welcome') {
      this.state(message.others.length ? 'Connecting…' : 'Waiting');
      message.others.forEach((who) => this.offerTo(who));
      this.count();
    } else if (message.type === 'joined') {
      this.add(message.who);
    } else if (message.type === 'left') {
      this.remove(message.id);
    } else if (message.type === 'signal') {
      this.signal(message);
    }
  }

  // Who has shown that they read what they were told gets in.
  async enter({ you, confirm }) {
    await (await fetch(confirm)).json();
    this.tell({ type: 'enter', who: you.jid, page: location.href });
  }

  add(who) {
    this.remove(who.id);
    const pc = new RTCPeerConnection({
      iceServers: this.joined.iceServers,
      iceTransportPolicy: this.joined.iceTransportPolicy,
    });
    const peer = { who, pc, tile: this.tile(who), waiting: [] };
    this.peers.set(who.id, peer);
    this.media.getTracks().forEach((t) => pc.addTrack(t, this.media));
    pc.onicecandidate = ({ candidate }) => candidate &&
      this.send(who.jid, { candidate });
    pc.onicecandidateerror = (e) => this.relayTrouble(e);
    pc.ontrack = ({ streams }) => {
      peer.tile.querySelector('video').srcObject = streams[0];
    };
    pc.onconnectionstatechange = () => this.connection();
    this.count();
    return peer;
  }

  remove(id) {
    const peer = this.peers.get(id);
    if (peer) {
      peer.pc.close();
      peer.tile.remove();
      this.peers.delete(id);
      this.connection();
      this.count();
    }
  }

  async offerTo(who) {
    const { pc } = this.add(who);
    await pc.setLocalDescription();
    this.send(who.jid, { description: pc.localDescription });
  }

  async signal({ from, description, candidate }) {
    const peer = this.peers.get(from);
    if (!peer) {
      return;
    }
    const { pc, waiting } = peer;
    if (description) {
      await pc.setRemoteDescription(description);
      waiting.splice(0).forEach((c) => pc.addIceCandidate(c));
      if (description.type === 'offer') {
        await pc.setLocalDescription();
        this.send(peer.who.jid, { description: pc.localDescription });
      }
    } else if (pc.remoteDescription) {
      await pc.addIceCandidate(candidate);
    } else {
      waiting.push(candidate);
    }
  }

  send(to, body) {
    this.tell({ type: 'signal', to, ...body });
  }

  tell(message) {
    if (this.ws.readyState === WebSocket.OPEN) {
      this.ws.send(JSON.stringify(message));
    }
  }

  // ---- what the guest sees ----

  tile(who) {
    const tile = document.createElement('figure');
    const video = document.createElement('video');
    const name = document.createElement('figcaption');
    video.autoplay = true;
    video.playsInline = true;
    const address = document.createElement('span');
    address.className = 'address';
    address.textContent = who.jid;
    name.append(`${who.name} `, address);
    tile.append(video, name);
    $('stage').append(tile);
    return tile;
  }

  connection() {
    const states = [...this.peers.values()].map((p) => p.pc.connectionState);
    if (!states.length) {
      this.state('Waiting');
    } else if (states.every((s) => s === 'connected')) {
      this.trouble('');
      this.state('Connected', true);
    } else if (states.includes('failed')) {
      this.lost('No media could be exchanged.');
    }
  }

  // 401 is a TURN server that refuses the credentials we were given, 701 one
  // that cannot be reached.
  relayTrouble({ errorCode, errorText }) {
    if (errorCode !== 701) {
      this.state('No media');
      this.trouble('The media relay (TURN server) refused us: ' +
        `${errorCode} ${errorText || ''}`.trim());
    }
  }

  lost(text) {
    if (!this.stopped) {
      this.state('Disconnected');
      this.trouble(text);
    }
  }

  state(text, connected = false) {
    $('call-state').textContent = text;
    $('call-state').classList.toggle('connected', connected);
  }

  trouble(text) {
    $('trouble-text').textContent = text;
    $('trouble').hidden = !text;
  }

  count() {
    $('alone').hidden = this.peers.size > 0;
    const names = [...this.peers.values()].map((p) => p.who.name);
    $('call-count').textContent = names.length
      ? `${names.length + 1} in this call: you, ${names.join(', ')}` : '';
  }

  toggle(button, tracks, whenOn, whenOff) {
    let on = true;
    const show = () => {
      $(button).textContent = on ? whenOn : whenOff;
      $(button).classList.toggle('on', !on);
      tracks.forEach((t) => { t.enabled = on; });
    };
    $(button).onclick = () => { on = !on; show(); };
    show();
  }
}
