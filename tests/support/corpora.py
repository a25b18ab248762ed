"""Corpora with the file names, line formats and extra files of their publications.

A recording is a name with an empty content.
"""

import json
from collections.abc import Mapping

Files = Mapping[str, str | bytes]

LIBRITTS: Files = {
    "train/84/121123/84_121123_000007_000001.wav": "",
    "train/84/121123/84_121123_000007_000001.normalized.txt": "Maximilian had two.",
    "train/84/121123/84_121123_000007_000001.original.txt": "Maximilian had 2.",
    "train/84/121123/84_121123.trans.tsv": "84_121123_000007_000001\tMaximilian had 2.\tMaximi...",
    "train/84/121123/84_121123.book.tsv": "84_121123_000007_000001\tMaximilian\t3.5",
    "train/84/121123/._84_121123_000007_000001.wav": "macOS",
    "SPEAKERS.txt": "; 84 | F | dev-clean",
    "speakers.tsv": "84\tF",
}
LIBRISPEECH: Files = {
    "84/121123/84-121123-0000.flac": "",
    "84/121123/84-121123-0001.flac": "",
    "84/121123/84-121123.trans.txt": "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN\n",
}
LJSPEECH: Files = {
    "wavs/LJ001-0001.wav": "",
    "wavs/LJ001-0002.wav": "",
    "metadata.csv": 'LJ001-0001|In 1455, "so|In fourteen fifty-five, "so\nLJ001-0002|Yes|Yes\n',
    "README": "-----",
}
VCTK: Files = {
    "txt/p225/p225_001.txt": "Please call Stella.\n",
    "wav48_silence_trimmed/p225/p225_001_mic1.flac": "",
    "wav48_silence_trimmed/p225/p225_001_mic2.flac": "",
    "wav48_silence_trimmed/p315/p315_001_mic1.flac": "",
    "speaker-info.txt": "ID AGE",
}
AISHELL3: Files = {
    "train/content.txt": "SSB00050001.wav\t广 guang3 州 zhou1\nSSB00050002.wav\t女 nv3 儿 er5\n",
    "train/wav/SSB0005/SSB00050001.wav": "",
    "train/wav/SSB0005/SSB00050002.wav": "",
    "train/label_train-set.txt": "SSB00050001|guang3 zhou1 $|广州$",
    "spk-info.txt": "# id",
}
COMMON_VOICE: Files = {
    "pt/clips/a.mp3": "",
    "pt/clips/b.mp3": "",
    "pt/clips/c.mp3": "",
    "pt/validated.tsv": "client_id\tpath\tsentence\tup_votes\tlocale\n"
    '0f\ta.mp3\t"Sim", disse\t2\tpt\n'
    "1a\tb.mp3\tNão\t2\tpt\n",
    "pt/train.tsv": "client_id\tpath\tsentence\tup_votes\tlocale\n1a\tb.mp3\tNão\t2\tpt\n",
    "pt/invalidated.tsv": "client_id\tpath\tsentence\tup_votes\tlocale\n1a\tc.mp3\tOutra\t0\tpt\n",
    "pt/clip_durations.tsv": "clip\tduration[ms]\na.mp3\t1000\n",
}
EMILIA: Files = {
    "DE/DE_B00000_S00000_W000029.mp3": "",
    "DE/DE_B00000_S00000_W000029.json": json.dumps(
        {"id": "DE_B00000_S00000_W000029", "wav": "DE_B00000/mp3/DE_B00000_S00000_W000029.mp3",
         "text": " Und es gibt.", "duration": 3.228, "speaker": "DE_B00000_S00000",
         "language": "de", "dnsmos": 3.3697}
    ),
}  # fmt: skip
EMILIA_LISTS: Files = {
    "EN_B00000.jsonl": json.dumps(
        {"id": "EN_B00000_S00000_W000000", "wav": "EN_B00000/mp3/EN_B00000_S00000_W000000.mp3",
         "text": "A plan.", "duration": 3.228, "speaker": "EN_B00000_S00000", "language": "en"}
    ),
    "EN_B00000/mp3/EN_B00000_S00000_W000000.mp3": "",
}  # fmt: skip
WENETSPEECH4TTS: Files = {
    "Premium/0/wavs/X01_S00037-S00038.wav": "",
    "Premium/0/txts/X01_S00037-S00038.txt": "X01_S00037-S00038\t我们走吧。\n[[0.1, 2.0]]\n",
}
KALDI: Files = {
    "data/train/wav.scp": "rec1 ../../wav/one two.wav\nrec2 ../../wav/b.wav\n",
    "data/train/segments": "u1 rec1 0.00 1.25\nu2 rec1 1.25 -1\nu3 rec2 0 1\n",
    "data/train/text": "u1 ten of clubs\nu2 four\nu3\n",
    "data/train/utt2spk": "u1 s1\nu2 s1\nu3 s2\n",
    "data/train/utt2lang": "u1 en\nu2 en\nu3 en\n",
    "data/train/spk2utt": "s1 u1 u2\ns2 u3\n",
    "wav/one two.wav": "",
    "wav/b.wav": "",
}
AUDIO_FOLDER: Files = {
    "train/metadata.csv": 'file_name,transcription\n./a.wav,"four, queen\nof clubs"\n',
    "train/a.wav": "",
    "test/metadata.jsonl": '{"file_name": "data/b.wav", "sentence": "seven"}\n',
    "test/data/b.wav": "",
}
