"""The reward path of channel-io/ch-tts-llasa-rl-grpo, written anew over the tiny stack.

One utterance a request and one request at a time; the audio is encoded once for the NLL and once
more for the transcript. Everything else is as fast as in ttsrl: the decoding loop is its own, and
the language is not detected, which costs the original another encoder pass.

python benchmarks/published_server.py run.json PORT
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import torch

from ttsrl.codecs.registry import load_codec
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.scorers.whisper.reading import ReadingJob
from ttsrl.scorers.whisper.scorer import WhisperScorer
from ttsrl.scorers.whisper.torch_engine import WhisperTorch


class SeedWay:
    """Tokens and text -> NLL and transcript."""

    def __init__(self, run: RunConfig) -> None:
        self.codec = load_codec(run.codec)
        assert run.reward.whisper is not None, "the published rewards are Whisper's"
        self.scorer = WhisperScorer(run.reward.whisper)
        engine = self.scorer.engine
        assert isinstance(engine, WhisperTorch)
        engine.drafted = 0
        self.engine = engine

    @torch.inference_mode()
    def score(self, tokens: list[int], text: str) -> dict[str, object]:
        """As the body of its answer."""
        waveform = self.codec.decode([tokens])[0]
        words, engine = self.scorer.tokens, self.engine
        network = engine.network
        audio = network.new_cache(1, network.positions)
        mel = engine.log_mel([waveform])
        network.project(network.encode(mel), audio)
        target = words.raw_target(text)
        forced = engine.forcing.force([[words.start]], [target], audio)
        [(_, reading)] = engine.read([ReadingJob(waveform, words.prompt("en"))])
        nll = forced.nll_B.item() / len(target)
        return {"nll": nll, "transcript": words.decode(reading.written)}


def main() -> None:
    """Serve until killed."""
    way = SeedWay(load_run(sys.argv[1]))

    class ReferenceHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(way.score(body["tokens"], body["text"])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    HTTPServer(("127.0.0.1", int(sys.argv[2])), ReferenceHandler).serve_forever()


if __name__ == "__main__":
    main()
