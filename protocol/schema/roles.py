"""What a field means to a proxy (Role in ../schema.h), derived from message, path, type and entity type.

The first rule that matches wins. `path` is matched at the end of "Message.Field.Field", at a name boundary.
"""
import re

RULES = [
    # path suffix (regular expression), wire types, role
    # --- exceptions first: the same word means something else here
    (r"ApiVersionsResponse\.(SupportedFeatures|FinalizedFeatures)\.Name", "string", "api_version"),
    (r"ApiVersionsResponse\..*(ApiKey|MinVersion|MaxVersion|MinVersionLevel|MaxVersionLevel|FinalizedFeaturesEpoch)",
     "int16 int64", "api_version"),
    (r"(BrokerRegistration|ControllerRegistration)Request\.Features\.\w+", "string int16", "none"),
    (r"UpdateFeatures(Request|Response)\..*(Feature|MinVersionLevel|MaxVersionLevel)", "string int16", "none"),
    (r"(Listeners|LeaderEndpoints|Endpoints)\.Name", "string", "host"),
    (r"CreateAclsRequest\.Creations\.Host|\w+AclsResponse\..*\.Host|\w+AclsRequest\.(.*\.)?HostFilter", "string", "principal"),
    (r"\w+UserScramCredentialsRequest\.(Users|Deletions|Upsertions)\.Name|Results\.User", "string", "principal"),
    (r"(DescribeDelegationTokenRequest\.Owners|DescribeDelegationTokenResponse\.Tokens\.Renewers"
     r"|CreateDelegationTokenRequest\.Renewers)\.Principal(Type|Name)", "string", "principal"),
    (r"(CreateTopics|AlterConfigs|IncrementalAlterConfigs)Request\..*Configs\.Name", "string", "none"),
    (r"CreateTopicsResponse\.Topics\.Configs\.Name|DescribeConfigsResponse\..*(Configs|Synonyms)\.Name", "string", "none"),
    (r"JoinGroup(Request|Response)\.(Protocols\.)?(Name|Protocol\w*)", "string", "none"),
    (r"Topics\.PartitionMaxBytes|Topology\..*TopicConfigs\.\w+", "int32 string", "none"),
    (r"TopicConfigs\.(Key|Value)", "string", "none"),
    (r"DescribeClientQuotas(Request|Response)\.\w*\.?Values\.Key|Ops\.(Key|Value)|Entries\.Values\.\w+", "string float64", "none"),
    (r"DescribeQuorumResponse\..*(LastFetchTimestamp|LastCaughtUpTimestamp)", "int64", "none"),
    (r"VoteRequest\..*ReplicaEpoch|CandidateEpoch|LastOffsetEpoch", "int32", "leader_epoch"),
    (r"StreamsGroupHeartbeatRequest\.Topology\.Epoch|StreamsGroupDescribeResponse\.Groups\.Topology\.Epoch", "int32",
     "generation"),
    (r"Streams\w+\..*(StateChangelogTopics|RepartitionSourceTopics)\.(Partitions|ReplicationFactor)", "int32 int16",
     "partition_count"),
    (r"CreateTopics(Request|Response)\.Topics\.(NumPartitions|ReplicationFactor)|CreatePartitionsRequest\.Topics\.Count",
     "int32 int16", "partition_count"),
    (r"JoinGroup(Request|Response)\..*Metadata|DescribeGroupsResponse\.Groups\.Members\.MemberMetadata"
     r"|MemberAssignment|SyncGroup(Request|Response)\.(Assignments\.)?Assignment", "bytes", "assignment"),
    (r"JoinGroupResponse\.Leader", "string", "member_id"),
    (r"FindCoordinatorRe(quest\.(Key|CoordinatorKeys)|sponse\.Coordinators\.Key)", "string", "coordinator_key"),
    (r"ShareAcknowledgeRequest\.ShareSessionEpoch|ShareFetchRequest\.ShareSessionEpoch|FetchRe\w+\.Session(Id|Epoch)",
     "int32", "session"),
    (r"(AssignReplicasToDirs\w+\.Directories\.Id|IncarnationId|LogDirs|OfflineLogDirs|CordonedLogDirs|\w*DirectoryId)",
     "uuid", "directory_id"),
    (r"AlterReplicaLogDirsRequest\.Dirs\.Path|DescribeLogDirsResponse\.Results\.LogDir", "string", "log_directory"),
    (r"FetchSnapshotRe\w+\..*(Position|Size)", "int64", "byte_position"),
    (r"LeaderAndIsr\w+\.LiveLeaders\.HostName|V0Host|Host", "string", "host"),
    (r"V0Port|Port", "int32 uint16", "port"),
    (r"Rack(Id)?", "string", "rack"),
    (r"UpdateMetadataRequest\.LiveBrokers\.Endpoints\.Listener", "string", "host"),
    (r"UserEndpoint\.\w+", "none", "none"),
    (r"ClientHost", "string", "client_host"),
    (r"ClientHostAddress", "bytes", "client_host"),
    (r"ClientId|ClientInstanceId|ClientSoftwareName|ClientSoftwareVersion|ProcessId", "string uuid", "client_id"),
    (r"(GetTelemetrySubscriptions|PushTelemetry)\w+\.SubscriptionId", "int32", "client_id"),
    (r"PushTelemetryRequest\.Metrics", "bytes", "client_id"),
    # --- values
    (r"ClusterId", "string", "cluster_id"),
    (r"ControllerId", "int32", "controller_id"),
    (r"ThrottleTimeMs", "int32", "throttle"),
    (r"\w*ErrorCode", "int16", "error_code"),
    (r"StreamsGroupHeartbeatResponse\.Status\.StatusCode", "int8", "error_code"),
    (r"\w*ErrorMessage|StatusDetail", "string", "error_text"),
    (r"GroupIds?|DescribeGroupsRequest\.Groups|GroupsNames", "string", "group_id"),
    (r"MemberId", "string", "member_id"),
    (r"GroupInstanceId|InstanceId", "string", "instance_id"),
    (r"(\w*TransactionalIds?|TransactionalIdPattern)", "string", "transactional_id"),
    (r"(OngoingTxn|V3AndBelow)?ProducerId|ProducerIdFilters|ProducerIdStart", "int64", "producer_id"),
    (r"ProducerIdLen", "int32", "producer_id"),
    (r"(OngoingTxn|V3AndBelow)?ProducerEpoch", "int16 int32", "producer_epoch"),
    (r"LastSequence", "int32", "sequence"),
    (r"CoordinatorEpoch|StateEpoch", "int32", "coordinator_epoch"),
    (r"(BrokerEpoch|PreviousBrokerEpoch|ReplicaEpoch)", "int64", "replica_epoch"),
    (r"(ControllerEpoch|PartitionEpoch|ZkVersion|CurrentIsrVersion|LeaderRecoveryState)", "int32 int8", "replica_epoch"),
    (r"(GenerationId\w*|MemberEpoch|GroupEpoch|AssignmentEpoch|TopologyEpoch|EndpointInformationEpoch)", "int32",
     "generation"),
    (r"(\w*LeaderEpoch|LastFetchedEpoch|(DivergingEpoch|SnapshotId)\.Epoch)", "int32", "leader_epoch"),
    (r"(Records|UnalignedRecords)", "records", "records"),
    (r"(CommittedMetadata|OffsetFetchResponse\..*\.Metadata)", "string", "commit_metadata"),
    (r"(BaseOffset|CommittedOffset|CurrentTxnStartOffset|FetchOffset|FirstOffset|HighWatermark|LastOffset"
     r"|LastStableOffset|LogEndOffset|LogStartOffset|LowWatermark|Offset|OldStyleOffsets|StartOffset|EndOffset"
     r"|CurrentMetadataOffset)", "int64", "offset"),
    (r"(DeliveryCompleteCount|Lag|OffsetLag)", "int32 int64", "offset_delta"),
    (r"ListOffsetsRe(quest|sponse)\..*Timestamp|LogAppendTimeMs", "int64", "timestamp"),
    (r"IsolationLevel", "int8", "isolation"),
    (r"TopicId", "uuid", "topic_id"),
    (r"SubscribedTopicRegex|SourceTopicRegex", "string", "topic_regex"),
    (r"(PartitionIndex(es)?|Partition|PartitionId|Partitions|(TopicData\.PartitionData|PartitionResponses"
     r"|FetchSnapshotResponse\.Topics\.Partitions)\.Index)", "int32", "partition"),
    (r"(BrokerIds?|CandidateId|\w*VoterId|LeaderId|NodeId|ReplicaId|PreferredReadReplica|PreferredSuccessors"
     r"|Isr|NewIsr|IsrNodes|ReplicaNodes|Replicas|AddingReplicas|RemovingReplicas|OfflineReplicas"
     r"|EligibleLeaderReplicas|LastKnownElr|LiveBrokers\.Id|PartitionStates\.Leader|Leader)", "int32", "node_id"),
    (r"(TopicNames?|SubscribedTopicNames|RepartitionSinkTopics|SourceTopics|SinkTopic\w*|Topic|Cursor\.TopicName)",
     "string", "topic_name"),
    (r"(\w*Topics|TopicData|Responses|TopicResults|ResultsByTopic\w*|Results|TopicStates|TopicResponses|TopicPartitions|NextCursor|UngroupedPartitions"
     r"|TopicsByTopic|RepartitionSourceTopics|StateChangelogTopics|OffsetForLeaderTopic\w*)\.Name", "string", "topic_name"),
    (r"\w*AuthorizedOperations|Operation|PermissionType", "int32 int8", "principal"),
    (r"(Owner|TokenRequester)?Principal(Type|Name|Filter)?", "string", "principal"),
    (r"RequestPrincipal", "bytes", "principal"),
    (r"Resource(Name|Type|PatternType)(Filter)?|PatternType(Filter)?", "string int8", "resource"),
    (r"EntityName|EntityType|Match|MatchType", "string int8", "quota_entity"),
    (r"(CreateTopics|DescribeConfigs|AlterConfigs|IncrementalAlterConfigs)\w+\..*Value", "string", "config_value"),
    (r"\w+DelegationToken\w+\.(.*\.)?(Hmac|TokenId)", "bytes string", "token"),
    (r"(AuthBytes|Mechanisms?|SessionLifetimeMs|Iterations|Salt|SaltedPassword)", "bytes string int8 int32 int64", "sasl"),
    (r"Envelope(Request|Response)\.(RequestData|ResponseData)", "bytes", "envelope"),
]
COMPILED = [(re.compile(r"(?:^|.*\.)(?:%s)$" % path), set(types.split()), role) for path, types, role in RULES]


def role(message, path, wire_type):
    full = message + "." + path
    for pattern, types, name in COMPILED:
        if wire_type in types and pattern.match(full):
            return name
    return "none"
