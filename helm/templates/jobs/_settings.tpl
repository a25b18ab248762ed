{{/* What a kind of pod is given, as JSON: (list . "train"), or of a helper beside it (list . "train" "head").
     Lists of `job` come first, maps are merged, and what is not empty in the more special one wins.
     A helper has the environment, labels and volumes of its kind; where it runs is its own. */}}
{{- define "ttsrl.jobSettings" -}}
{{- $root := index . 0 -}}
{{- $kind := index $root.Values (index . 1) -}}
{{- $layers := list $root.Values.job $kind -}}
{{- if gt (len .) 2 -}}
{{- $shared := pick $kind "podLabels" "podAnnotations" "priorityClassName" "extraEnv" "extraEnvFrom" "extraVolumes" "extraVolumeMounts" -}}
{{- $layers = list $root.Values.job $shared (index $kind (index . 2)) -}}
{{- end -}}
{{- $settings := dict -}}
{{- range $layers -}}
{{- $layer := deepCopy . -}}
{{- range $list := list "tolerations" "topologySpreadConstraints" "extraEnv" "extraEnvFrom" "extraVolumes" "extraVolumeMounts" "resourceClaims" -}}
{{- $_ := set $layer $list (concat (index $settings $list | default list) (index $layer $list | default list)) -}}
{{- end -}}
{{- $settings = merge $layer $settings -}}
{{- end -}}
{{ toJson $settings }}
{{- end }}

{{/* GPUs of a training node, and of a pod of eval or follow: (list . "eval") */}}
{{- define "ttsrl.gpus" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
{{- $train := $root.Values.run.train -}}
{{- if eq ($train.device | default "auto") "cpu" -}}
0
{{- else if eq $kind "train" -}}
{{ int $train.gpus_per_node }}
{{- else -}}
{{ int (index $root.Values $kind).gpu.count }}
{{- end -}}
{{- end }}

{{/* Requests and limits with GPUs, claims of devices and scratch: (dict "settings" ... "gpus" 1).
Quantities are strings, as operators write them back: a number would be a drift to Argo CD. */}}
{{- define "ttsrl.jobResources" -}}
{{- $resources := deepCopy (.resources | default .settings.resources) -}}
{{- $limits := $resources.limits | default dict -}}
{{- $requests := $resources.requests | default dict -}}
{{- if and .gpus (not .settings.resourceClaims) -}}
{{- $_ := set $limits .settings.gpu.resource (int .gpus) -}}
{{- end -}}
{{- $fabric := .settings.fabric | default dict -}}
{{- $limits = merge $limits ($fabric.resources | default dict) ($fabric.hugepages | default dict) -}}
{{- if and (eq .settings.scratch.type "emptyDir") .settings.scratch.request (not (hasKey $requests "ephemeral-storage")) -}}
{{- $_ := set $requests "ephemeral-storage" .settings.scratch.request -}}
{{- end -}}
{{- if and .gpus .settings.resourceClaims -}}
{{- $claims := list -}}
{{- range .settings.resourceClaims -}}{{- $claims = append $claims (dict "name" .name) -}}{{- end -}}
{{- $_ := set $resources "claims" $claims -}}
{{- end -}}
{{- range $name, $of := dict "limits" $limits "requests" $requests -}}
{{- $quantities := dict -}}
{{- range $resource, $quantity := $of -}}{{- $_ := set $quantities $resource (toString $quantity) -}}{{- end -}}
{{- $_ := set $resources $name $quantities -}}
{{- end -}}
{{ toYaml $resources }}
{{- end }}
