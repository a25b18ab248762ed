module ttsrl.dev/tools/pause

go 1.24
