{{/* An image of the release: (list . "reward") for reward.image, "train", or "eval" */}}
{{- define "ttsrl.image" -}}
{{- $root := index . 0 -}}
{{- $image := (index $root.Values (index . 1)).image -}}
{{- with $root.Values.image.registry | default (dig "imageRegistry" "" ($root.Values.global | default dict)) }}{{ trimSuffix "/" . }}/{{ end -}}
{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Values.image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}
