{{/* What the sidecar needs beside the Pod: a file of your templates holds nothing but an include of this. */}}
{{- define "link-report-proxy.sidecar.objects" -}}
{{- $values := index .Values "link-report-proxy-sidecar" }}
{{- $name := include "link-report-proxy.sidecar.name" . }}
{{- $settings := $values.config.settings }}
{{- $allowed := dict "per_day" 10000 "per_second" 4 }}
{{- range $key, $most := $allowed }}
{{- $total := mulf (index $settings.quota $key) $values.config.replicas }}
{{- if gt $total (float64 $most) }}
{{- fail (printf "link-report-proxy: quota.%s of %v, for each of %v replicas, is more than the %v of an API key" $key (index $settings.quota $key) $values.config.replicas $most) }}
{{- end }}
{{- end }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
data:
  link-report-proxy.toml: |
    {{- include "link-report-proxy.sidecar.toml" . | nindent 4 }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}-settings
data:
  {{- include "link-report-proxy.sidecar.settings" (omit $settings "token") | nindent 2 }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}-token-settings
data:
  {{- include "link-report-proxy.sidecar.settings" (pick $settings "token") | nindent 2 }}
{{- with $values.metrics.podMonitor }}
{{- if .enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ $name }}
  {{- with .labels }}
  labels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "link-report-proxy.sidecar.podMonitor" $ | nindent 2 }}
        # One job for all releases of a namespace, as the rules and dashboards have it.
        - targetLabel: job
          replacement: {{ $.Release.Namespace }}/link-report-proxy
{{- end }}
{{- end }}
{{- end }}

{{- define "link-report-proxy.sidecar.settings" -}}
{{- range $section, $keys := . }}
{{- range $key, $value := $keys }}
LINK_REPORT_PROXY__{{ upper $section }}__{{ upper $key }}: {{ (kindIs "string" $value | ternary $value (toJson $value)) | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* One release's, as a namespace may have several. */}}
{{- define "link-report-proxy.sidecar.name" -}}
{{ printf "%s-link-report-proxy" (.Release.Name | trunc 30 | trimSuffix "-") }}
{{- end }}

{{/* For an annotation of the Pod template: new settings are a new Pod. */}}
{{- define "link-report-proxy.sidecar.checksum" -}}
{{ printf "%s%s" (include "link-report-proxy.sidecar.toml" .) (index .Values "link-report-proxy-sidecar" | toJson) | sha256sum }}
{{- end }}
