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
  restartPolicy: Never
  serviceAccountName: {{ include "ttsrl.serviceAccount" (list $root "jobs") | quote }}
  automountServiceAccountToken: false
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.tests.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.tests.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml $root.Values.podSecurityContext | nindent 4 }}
  containers:
    - name: {{ .check }}
      image: {{ include "ttsrl.image" (list $root "reward") }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [ttsrl, job, check, {{ .check }}, --config, /etc/ttsrl/run.json]
      envFrom:
        - configMapRef:
            name: {{ $fullname }}-env
      resources:
        {{- toYaml $root.Values.tests.resources | nindent 8 }}
      securityContext:
        {{- toYaml $root.Values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        - {name: run, mountPath: /etc/ttsrl, readOnly: true}
        - {name: token, mountPath: /var/run/ttsrl/token, readOnly: true}
        - {name: s3, mountPath: /var/run/ttsrl/s3, readOnly: true}
        - {name: tmp, mountPath: /tmp}
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
{{- end }}
