{{/* Most take (dict "root" $ "name" NAME), NAME being a service's or another object's. */}}

{{- define "tributary.fullname" -}}
{{- $prefix := .root.Values.fullnamePrefix -}}
{{- if not (kindIs "string" $prefix) -}}
{{- if gt (len .root.Release.Name) 36 -}}
{{- fail (printf "the release's name %q is longer than 36 characters, which leaves too few for names of services: choose a shorter one, or set fullnamePrefix" .root.Release.Name) -}}
{{- end -}}
{{- $prefix = printf "%s-" .root.Release.Name -}}
{{- end -}}
{{- printf "%s%s" $prefix .name -}}
{{- end -}}

{{- define "tributary.selectorLabels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{- define "tributary.podLabels" -}}
{{ include "tributary.selectorLabels" . }}
app.kubernetes.io/part-of: tributary
{{- end -}}

{{- define "tributary.labels" -}}
{{ include "tributary.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{/* Enabled services with their facts, as YAML. */}}
{{- define "tributary.services" -}}
{{- $services := dict -}}
{{- range $name, $facts := .Files.Get "services.yaml" | fromYaml -}}
{{- if (index $.Values.services $name).enabled -}}
{{- $_ := set $services $name $facts -}}
{{- end -}}
{{- end -}}
{{- toYaml $services -}}
{{- end -}}

{{- define "tributary.image" -}}
{{ .root.Values.image.repository }}/{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{- define "tributary.bootstrap" -}}
{{- if .Values.kafka.install -}}
{{- if .Values.kafka.bootstrap -}}
{{- fail "kafka.bootstrap names your Kafka and kafka.install adds another one: set one of them" -}}
{{- end -}}
{{ include "tributary.fullname" (dict "root" . "name" "kafka") }}:9092
{{- else -}}
{{- required "kafka.bootstrap is needed, the address of your Kafka: --set kafka.bootstrap=HOST:PORT. For a single node in this release, -f values-k3s.yaml" .Values.kafka.bootstrap -}}
{{- end -}}
{{- end -}}

{{- define "tributary.tokenSecret" -}}
{{ .Values.secrets.gateway | default (include "tributary.fullname" (dict "root" . "name" "gateway")) }}
{{- end -}}

{{- define "tributary.keysSecret" -}}
{{ .Values.secrets.modelRegistryKeys | default (include "tributary.fullname" (dict "root" . "name" "model-registry-keys")) }}
{{- end -}}

{{/* URL of a service for others: (dict "root" $ "name" NAME "facts" FACTS). */}}
{{- define "tributary.url" -}}
{{- $port := .facts.publish.http -}}
http://{{ include "tributary.fullname" . }}{{ if ne (int $port) 80 }}:{{ $port }}{{ end }}
{{- end -}}

{{/* A service's configuration: its file, with comments, unless values change it. */}}
{{- define "tributary.config" -}}
{{- $text := .root.Files.Get (printf "config/%s.yaml" .name) -}}
{{- $changes := (index .root.Values.services .name).config | default dict | deepCopy -}}
{{- if ne .root.Values.kafka.topicPrefix "tributary." -}}
{{- $changes = mergeOverwrite $changes (dict "kafka" (dict "prefix" .root.Values.kafka.topicPrefix)) -}}
{{- end -}}
{{- if $changes -}}
{{- mergeOverwrite (fromYaml $text) $changes | toYaml -}}
{{- else -}}
{{- trimSuffix "\n" $text -}}
{{- end -}}
{{- end -}}

{{/* Of a pod: its user, and what it does without. `fsGroup` makes its volumes writable. */}}
{{- define "tributary.pod" -}}
enableServiceLinks: false
automountServiceAccountToken: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  {{- if .fsGroup }}
  fsGroup: 1000
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "tributary.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "tributary.kafkaEnv" -}}
- name: KAFKA_BOOTSTRAP
  valueFrom:
    configMapKeyRef:
      name: {{ include "tributary.fullname" (dict "root" . "name" "kafka") }}
      key: bootstrap
{{- end -}}

{{/* An environment variable with the token: (dict "root" $ "variable" NAME). */}}
{{- define "tributary.tokenEnv" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ include "tributary.tokenSecret" .root }}
      key: token
{{- end -}}

{{/* Whether a service has several replicas, or may have. "" is false. */}}
{{- define "tributary.isReplicated" -}}
{{- $replicas := (index .root.Values.services .name).replicas -}}
{{- if and .facts.group (ne .root.Values.autoscaling.kind "none") -}}
{{- $replicas = (index .root.Values.autoscaling .name).replicasMax -}}
{{- end -}}
{{- if gt (int $replicas) 1 }}true{{ end -}}
{{- end -}}
