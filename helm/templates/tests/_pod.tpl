{{/* A pod of `helm test`: (dict "root" . "check" "score"); see ttsrl/kube/check.py */}}
{{- define "ttsrl.testPod" -}}
{{- $root := .root -}}
{{- $fullname := include "ttsrl.fullname" $root -}}
{{- $hooks := dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" $root.Values.tests.hookDeletePolicy -}}
apiVersion: v1
kind: Pod
metadata:
  {{- include "ttsrl.metadata" (dict "root" $root "name" (printf "%s-test-%s" $fullname .check) "component" "test" "annotations" $hooks) | nindent 2 }}
spec:
  {{- include "ttsrl.testPodSpec" (dict "root" $root "checks" (list .check)) | nindent 2 }}
{{- end }}

{{/* What its pod is like: (dict "root" . "checks" (list "score")), a container for each check */}}
{{- define "ttsrl.testPodSpec" -}}
{{- $root := .root -}}
{{- $fullname := include "ttsrl.fullname" $root -}}
restartPolicy: Never
serviceAccountName: {{ include "ttsrl.serviceAccount" (list $root "jobs") | quote }}
automountServiceAccountToken: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tests.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tests.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
containers:
  {{- range .checks }}
  - name: {{ . }}
    image: {{ include "ttsrl.image" (list $root "reward") }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    command: [ttsrl, job, check]
    args: [{{ . }}, --config, /etc/ttsrl/run.json]
    envFrom:
      - configMapRef:
          name: {{ $fullname }}-env
    resources:
      {{- toYaml $root.Values.tests.resources | nindent 6 }}
    securityContext:
      {{- toYaml $root.Values.containerSecurityContext | nindent 6 }}
    volumeMounts:
      - {name: run, mountPath: /etc/ttsrl, readOnly: true}
      - {name: token, mountPath: /var/run/ttsrl/token, readOnly: true}
      - {name: s3, mountPath: /var/run/ttsrl/s3, readOnly: true}
      - {name: tmp, mountPath: /tmp}
      {{- with include "ttsrl.certificatesMount" $root | trim }}
      {{- . | nindent 6 }}
      {{- end }}
  {{- end }}
volumes:
  - name: run
    configMap:
      name: {{ $fullname }}-run
  - name: token
    secret:
      secretName: {{ include "ttsrl.tokenSecret" $root | quote }}
  - name: s3
    secret:
      secretName: {{ include "ttsrl.s3Secret" $root | quote }}
      optional: true
  - name: tmp
    emptyDir: {}
  {{- with include "ttsrl.certificatesVolume" $root | trim }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end }}
