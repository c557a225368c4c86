-- ARGV[1]: the epoch that the replica knows, or ''. ARGV[2]: the highest sequence that it was told.
if not epoch then return {'empty'} end
if epoch ~= ARGV[1] then return {'other_epoch', epoch} end
if sequence < tonumber(ARGV[2]) then return {'rolled_back'} end
