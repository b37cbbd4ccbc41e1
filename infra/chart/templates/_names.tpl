{{/* Name of every resource. A release may begin with a digit or hold dots, a Service's name may not. */}}
{{- define "classifier.name" -}}
{{- $name := .Values.fullnameOverride | default (.Release.Name | replace "." "-") -}}
{{- if regexMatch "^[0-9]" $name }}{{ $name = printf "classifier-%s" $name }}{{ end -}}
{{- $name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "classifier.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "classifier.labels" -}}
{{ include "classifier.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "classifier.metadata" -}}
name: {{ include "classifier.name" . | quote }}
namespace: {{ .Release.Namespace | quote }}
labels:
  {{- include "classifier.labels" . | nindent 2 }}
{{- end }}

{{- define "classifier.serviceAccountName" -}}
{{- $default := ternary (include "classifier.name" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $default -}}
{{- end }}

{{- define "classifier.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}
