{{/* Made from ../../../kubernetes/sidecar by tests/deploy/generated.py: edit that. */}}
{{- define "link-report-proxy.sidecar.labels" -}}
link-report-proxy: sidecar
link-report-proxy-release: {{ .Release.Name }}
{{- end }}

{{- define "link-report-proxy.sidecar.pod" -}}
terminationGracePeriodSeconds: 60
{{- end }}

{{- define "link-report-proxy.sidecar.container" -}}
{{- $values := index .Values "link-report-proxy-sidecar" }}
- name: link-report-proxy
  image: "{{ $values.image.repository }}:{{ $values.image.tag | default "0.1.0" }}"
  restartPolicy: Always
  args: [serve, --config, /etc/link-report-proxy/link-report-proxy.toml]
  envFrom:
    - configMapRef:
        name: {{ include "link-report-proxy.sidecar.name" . }}-settings
    - configMapRef:
        name: {{ include "link-report-proxy.sidecar.name" . }}-token-settings
  ports:
    - name: proxy-admin
      containerPort: 19090
  # The other containers wait for this one: a wrong setting stops the Pod here, with the setting's name in the log.
  startupProbe:
    httpGet: {path: /readyz, port: proxy-admin}
    periodSeconds: 1
    failureThreshold: 30
  readinessProbe:
    httpGet: {path: /readyz, port: proxy-admin}
    periodSeconds: 5
  livenessProbe:
    httpGet: {path: /livez, port: proxy-admin}
    periodSeconds: 10
    failureThreshold: 6
  resources:
    requests:
      # A hit takes microseconds; this is for TLS and JSON of a call every few seconds.
      cpu: 50m
      memory: 64Mi
      # The state, and a log between two rotations.
      ephemeral-storage: 96Mi
    limits:
      # cache.max_bytes (64 MiB), a body of 8 MiB for each call under way, buffers of connections. No CPU limit:
      # it would only delay answers that need very little CPU.
      memory: 192Mi
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
    seccompProfile:
      type: RuntimeDefault
  volumeMounts:
    - name: link-report-proxy-config
      mountPath: /etc/link-report-proxy
      readOnly: true
    - name: link-report-proxy-secrets
      mountPath: /run/secrets/link-report-proxy
      readOnly: true
    - name: link-report-proxy-state
      mountPath: /var/lib/link-report-proxy
    {{- with $values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.extraEnv }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "link-report-proxy.sidecar.volumes" -}}
{{- $values := index .Values "link-report-proxy-sidecar" }}
- name: link-report-proxy-config
  configMap:
    name: {{ include "link-report-proxy.sidecar.name" . }}
- name: link-report-proxy-secrets
  projected:
    # Readable by any user, as the Pod's fsGroup is not ours to set; only the sidecar mounts it.
    defaultMode: 0444
    sources:
      - secret:
          name: {{ $values.config.existingSecret }}
          items:
            - key: refresh-token
              path: refresh-token
- name: link-report-proxy-state
  emptyDir:
    sizeLimit: 64Mi
{{- with $values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "link-report-proxy.sidecar.podMonitor" -}}
{{- $values := index .Values "link-report-proxy-sidecar" }}
selector:
  matchLabels:
    link-report-proxy: sidecar
    link-report-proxy-release: {{ .Release.Name }}
  matchExpressions:
    # One that lives for a minute has nothing to tell but its log, and is missed by "no target" when it has ended.
    - {key: batch.kubernetes.io/job-name, operator: DoesNotExist}
podMetricsEndpoints:
  - port: proxy-admin
    path: /metrics
    interval: {{ $values.metrics.podMonitor.interval }}
    # The program that the sidecar stands beside, which the job's name does not tell: all sidecars of a namespace are one
    # job, so that what hits all of them is one alert. A Deployment's Pods belong to a ReplicaSet, named with a hash.
    relabelings:
      - sourceLabels: [__meta_kubernetes_pod_controller_name]
        targetLabel: workload
      - sourceLabels: [__meta_kubernetes_pod_controller_kind, __meta_kubernetes_pod_controller_name]
        regex: ReplicaSet;(.+)-[a-z0-9]+
        targetLabel: workload
{{- end }}

{{- define "link-report-proxy.sidecar.egress" -}}
# DNS, wherever a cluster has it: kube-system, the Service's or the link-local address of NodeLocal DNSCache, which runs on
# the node itself (169.254.20.10), or openshift-dns, whose Pods listen on 5353.
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
    - {protocol: UDP, port: 5353}
    - {protocol: TCP, port: 5353}
# Constant Contact. Its addresses change, so all public ones; a company's own proxy has to be named here instead. Not the
# node's metadata service.
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]
    - ipBlock:
        cidr: ::/0
        except: [fc00::/7, fe80::/10]
  ports:
    - port: 443
{{- end }}

{{- define "link-report-proxy.sidecar.toml" -}}
# The proxy in the Pod of the program that asks it. Everything else is as in config/default.toml.

# All containers of a Pod share its ports, so these are not 8080 and 9090, which many programs have. For others, set
# LINK_REPORT_PROXY__SERVER__LISTEN and LINK_REPORT_PROXY__ADMIN__LISTEN in settings.env, and patch the container's port
# proxy-admin in the overlay, and the NetworkPolicies, which have its number: probes and PodMonitor ask for it by its name.

[server]
# Loopback is the Pod: its containers reach it, nothing else does.
listen = "127.0.0.1:18080"
# There is no CPU limit, so the cores that the process may use are the node's.
workers = 2

[admin]
# For the kubelet's probes and for Prometheus. Purging stays with loopback peers: kubectl port-forward is one. Where Pods
# have IPv6 addresses only: "[::]:19090".
listen = "0.0.0.0:19090"

[state]
# An emptyDir: survives a restart of the container, and ends with the Pod.
dir = "/var/lib/link-report-proxy/state"

[shutdown]
# Of the Pod's terminationGracePeriodSeconds, what is left when the other containers have ended.
grace = "25s"
{{- end }}
