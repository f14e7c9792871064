"""The transfers of FTP servers, from the logs that they write."""
