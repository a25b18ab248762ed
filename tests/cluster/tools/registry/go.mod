module ttsrl.dev/tools/registry

go 1.26.4

tool github.com/google/go-containerregistry/cmd/registry

require github.com/google/go-containerregistry v0.20.6 // indirect
